//! URLs of servers: PostgreSQL's, as one role or another, and the broker's. No error repeats a URL, which
//! may hold a password.

/// A URL that can't be used: says what it should look like.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{0}")]
pub struct MalformedUrl(&'static str);

/// What a URL leads to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Server {
    /// A PostgreSQL database.
    Postgres,
    /// A broker that speaks AMQP 0.9.1.
    Amqp,
}

impl Server {
    const fn schemes(self) -> [&'static str; 2] {
        match self {
            Self::Postgres => ["postgres", "postgresql"],
            Self::Amqp => ["amqp", "amqps"],
        }
    }

    const fn malformed(self) -> MalformedUrl {
        MalformedUrl(match self {
            Self::Postgres => "a database URL looks like postgres://user:password@host:5432/name",
            Self::Amqp => "a broker URL looks like amqp://user:password@host:5672/vhost",
        })
    }

    /// Puts a password into a URL that has none; one in the URL wins.
    ///
    /// # Errors
    ///
    /// The URL has another scheme.
    pub fn with_password(self, url: &str, password: Option<&str>) -> Result<String, MalformedUrl> {
        let (scheme, user, place) = self.split(url)?;
        let Some((user, password)) = user.zip(password).filter(|(user, _)| !user.contains(':')) else {
            return Ok(url.to_owned());
        };
        Ok(format!("{scheme}://{user}:{}@{place}", escaped(password)))
    }

    /// Splits a URL into its scheme, its user (with the password, if it has one), and the rest.
    fn split(self, url: &str) -> Result<(&str, Option<&str>, &str), MalformedUrl> {
        let (scheme, rest) = url.split_once("://").ok_or(self.malformed())?;
        if !self.schemes().contains(&scheme) {
            return Err(self.malformed());
        }
        let authority = &rest[..rest.find(['/', '?']).unwrap_or(rest.len())];
        Ok(match authority.rsplit_once('@') {
            Some((user, _)) => (scheme, Some(user), &rest[user.len() + 1..]),
            None => (scheme, None, rest),
        })
    }
}

/// Replaces the user and password of a database's URL.
///
/// # Errors
///
/// It is no database's URL.
pub fn with_user(url: &str, user: &str, password: &str) -> Result<String, MalformedUrl> {
    let (scheme, _, place) = Server::Postgres.split(url)?;
    Ok(format!("{scheme}://{}:{}@{place}", escaped(user), escaped(password)))
}

/// Returns the name of the database that a URL leads to.
///
/// # Errors
///
/// It is no database's URL, or names none.
pub fn database_name(url: &str) -> Result<String, MalformedUrl> {
    let (_, _, place) = Server::Postgres.split(url)?;
    let path = place.split_once('/').map(|(_, path)| path).unwrap_or_default();
    match path.split('?').next() {
        Some(name) if !name.is_empty() => Ok(name.to_owned()),
        _ => Err(MalformedUrl("the database URL names no database; it should end in /name")),
    }
}

/// Replaces the name of the database that a URL leads to, on the same server.
///
/// # Errors
///
/// It is no database's URL, or names none.
pub fn with_database(url: &str, name: &str) -> Result<String, MalformedUrl> {
    let (_, _, place) = Server::Postgres.split(url)?;
    let known = database_name(url)?;
    // A server's address holds no slash: the first one begins the name.
    let begin = url.len() - place.len() + place.find('/').map_or(0, |slash| slash + 1);
    Ok(format!("{}{}{}", &url[..begin], escaped(name), &url[begin + known.len()..]))
}

/// Escapes what has a meaning in a URL, or is not ASCII.
pub fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            escaped.push(char::from(byte));
        } else {
            escaped += &format!("%{byte:02X}");
        }
    }
    escaped
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
        let other = with_database("postgres://db:db@db:1/db?db=db", "x y").unwrap();
        assert_eq!(other, "postgres://db:db@db:1/x%20y?db=db");
        assert!(database_name("postgres://h").is_err() && with_user("mysql://h/db", "u", "s").is_err());
    }

    #[test]
    fn a_password_in_the_url_wins() {
        let put = |url| Server::Postgres.with_password(url, Some("p:/@%")).unwrap();
        assert_eq!(put("postgres://u@h:1/db?x=a@b"), "postgres://u:p%3A%2F%40%25@h:1/db?x=a@b");
        for url in ["postgres://u:own@h/db", "postgres://h/db", "postgres:///db?host=/run"] {
            assert_eq!(put(url), url);
        }
        assert_eq!(Server::Postgres.with_password("postgres://u@h/db", None).unwrap(), "postgres://u@h/db");
    }

    #[test]
    fn a_broker_speaks_amqp() {
        let put = |url| Server::Amqp.with_password(url, Some("s"));
        assert_eq!(put("amqps://quittance@broker:5671/%2f").unwrap(), "amqps://quittance:s@broker:5671/%2f");
        for url in ["http://u:hunter2@h", "broker:5672", "postgres://u:hunter2@h/db"] {
            let said = put(url).unwrap_err().to_string();
            assert!(said.contains("amqp://") && !said.contains("hunter2"), "{said}");
        }
    }
}
