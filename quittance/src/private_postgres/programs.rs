//! Where PostgreSQL's programs are, and how they are installed where they are missing.
//!
//! `xtask` compiles this file too, so that developers' machines and users' find the same ones: it must
//! need nothing but the standard library, `anyhow` and [`crate::packages`].

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::packages::{folders_in_path, install};

/// The oldest version whose behaviour we rely on.
const OLDEST_MAJOR: u32 = 14;

/// Where package managers put PostgreSQL beside `PATH`: a folder, and what comes before the version in
/// the names of its subfolders.
const PACKAGE_FOLDERS: [(&str, &str); 3] =
    [("/usr/lib/postgresql", ""), ("/opt/homebrew/opt", "postgresql@"), ("/usr/local/opt", "postgresql@")];

/// The programs of one version of PostgreSQL.
#[derive(Debug)]
pub(crate) struct PostgresPrograms {
    /// The folder that holds `postgres` and `initdb`.
    pub(crate) folder: PathBuf,
    /// Their major version.
    pub(crate) major: u32,
}

impl PostgresPrograms {
    /// Finds PostgreSQL: in `given` if there is one, else in `PATH`, else the highest version that a
    /// package manager has put elsewhere, else installs it where that needs no prompt.
    ///
    /// A cluster is readable only by the major version that made it: where that is known, it is the only
    /// one that will do.
    ///
    /// # Errors
    ///
    /// There is none that will do and none can be installed; the error says what to install.
    pub(crate) fn find_or_install(given: Option<&Path>, made_by: Option<u32>) -> Result<Self> {
        if let Some(folder) = given {
            let programs = Self::at(folder.to_owned()).with_context(|| {
                format!("there is no PostgreSQL in {} (QUITTANCE_PG_BIN)", folder.display())
            })?;
            if !programs.suits(made_by) {
                bail!(
                    "PostgreSQL {} in {} will not do: {}",
                    programs.major,
                    folder.display(),
                    needed(made_by)
                );
            }
            return Ok(programs);
        }
        if let Some(programs) = Self::find(made_by) {
            return Ok(programs);
        }
        if made_by.is_none() && install("PostgreSQL", "postgresql", "postgresql@17")? {
            return Self::find(None).context("PostgreSQL was installed, but is not where it should be");
        }
        bail!(
            "{}: install it (`apt-get install postgresql` as root, or `brew install postgresql@17`), name the \
             folder of its programs in QUITTANCE_PG_BIN, or a running server in DATABASE_URL",
            needed(made_by)
        )
    }

    fn find(made_by: Option<u32>) -> Option<Self> {
        folders_in_path()
            .into_iter()
            .chain(folders_of_packages())
            .filter_map(Self::at)
            .find(|programs| programs.suits(made_by))
    }

    fn at(folder: PathBuf) -> Option<Self> {
        if !folder.join("initdb").is_file() {
            return None;
        }
        let output = Command::new(folder.join("postgres")).arg("--version").output().ok()?;
        let major = major_in(std::str::from_utf8(&output.stdout).ok()?)?;
        Some(PostgresPrograms { folder, major })
    }

    fn suits(&self, made_by: Option<u32>) -> bool {
        made_by.map_or(self.major >= OLDEST_MAJOR, |major| self.major == major)
    }
}

fn needed(made_by: Option<u32>) -> String {
    match made_by {
        Some(major) => format!("the database was made by PostgreSQL {major}, which is needed to run it"),
        None => format!("PostgreSQL {OLDEST_MAJOR} or later is needed"),
    }
}

/// Reads the major version out of a line like `postgres (PostgreSQL) 15.18 (Debian …)`.
fn major_in(version: &str) -> Option<u32> {
    let number = version.split_once("(PostgreSQL) ")?.1;
    number.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

/// Lists the folders that package managers use, the highest version first.
fn folders_of_packages() -> Vec<PathBuf> {
    let mut found = Vec::new();
    for (folder, prefix) in PACKAGE_FOLDERS {
        let Ok(entries) = std::fs::read_dir(folder) else { continue };
        for entry in entries.flatten() {
            let name = entry.file_name();
            let version = name.to_str().and_then(|name| name.strip_prefix(prefix)?.parse::<u32>().ok());
            found.extend(version.map(|version| (version, entry.path().join("bin"))));
        }
    }
    found.sort_by_key(|(version, _)| std::cmp::Reverse(*version));
    found.into_iter().map(|(_, folder)| folder).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_major_version_is_read_from_every_form_in_use() {
        assert_eq!(major_in("postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)\n"), Some(15));
        assert_eq!(major_in("postgres (PostgreSQL) 19beta1\n"), Some(19));
        assert_eq!(major_in("something else 15\n"), None);
    }

    #[test]
    fn a_given_folder_is_the_only_one_looked_at() {
        let error = PostgresPrograms::find_or_install(Some(Path::new("/nowhere")), None).unwrap_err();
        assert!(error.to_string().contains("QUITTANCE_PG_BIN"), "{error}");
    }
}
