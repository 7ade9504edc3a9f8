//! Database URLs: the same server and database as another role.

use anyhow::bail;

/// Replaces the user and password of a URL; the password must need no escaping (ours are hex).
pub fn with_user(url: &str, user: &str, password: &str) -> anyhow::Result<String> {
    let (scheme, rest) = split(url)?;
    let place = rest.split_once('@').map_or(rest, |(_, place)| place);
    Ok(format!("{scheme}://{user}:{password}@{place}"))
}

/// Returns the name of the database that a URL leads to.
pub fn database_name(url: &str) -> anyhow::Result<String> {
    let (_, rest) = split(url)?;
    let path = rest.split_once('/').map(|(_, path)| path).unwrap_or_default();
    let name = path.split('?').next().unwrap_or_default();
    if name.is_empty() {
        bail!("the database URL names no database; it should end in /name");
    }
    Ok(name.to_owned())
}

fn split(url: &str) -> anyhow::Result<(&str, &str)> {
    match url.split_once("://") {
        Some((scheme @ ("postgres" | "postgresql"), rest)) => Ok((scheme, rest)),
        _ => bail!("a database URL looks like postgres://user:password@host:5432/name"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replaces_the_user() {
        for url in ["postgres://o:p@h:1/db?x=1", "postgres://h:1/db?x=1", "postgres://o@h:1/db?x=1"] {
            assert_eq!(with_user(url, "u", "s").unwrap(), "postgres://u:s@h:1/db?x=1");
        }
        assert_eq!(database_name("postgresql://o:p@h:1/db?x=1").unwrap(), "db");
        assert!(database_name("postgres://h").is_err() && with_user("mysql://h/db", "u", "s").is_err());
    }
}
