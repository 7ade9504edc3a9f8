//! Where RabbitMQ's programs are, and how they are installed where they are missing.
//!
//! `xtask` compiles this file too, so that developers' machines and users' find the same ones: it must
//! need nothing but the standard library, `anyhow` and [`crate::packages`].

use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::packages::{folders_in_path, install};

/// The oldest version whose behaviour we rely on.
const OLDEST: Version = Version { major: 3, minor: 10, patch: 0 };

/// Where package managers put RabbitMQ beside `PATH`: on Debian, whose `PATH` has only a wrapper that
/// changes the user and the folder, and on a Mac.
const PACKAGE_FOLDERS: [&str; 3] =
    ["/usr/lib/rabbitmq/bin", "/opt/homebrew/opt/rabbitmq/sbin", "/usr/local/opt/rabbitmq/sbin"];

/// The programs of one version of RabbitMQ.
#[derive(Debug)]
pub(crate) struct RabbitPrograms {
    /// The folder that holds `rabbitmq-server`.
    pub(crate) folder: PathBuf,
    /// Their version.
    pub(crate) version: Version,
}

/// A version of RabbitMQ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Version {
    pub(crate) major: u32,
    pub(crate) minor: u32,
    pub(crate) patch: u32,
}

impl RabbitPrograms {
    /// Finds RabbitMQ: in `given` if there is one, else in `PATH`, else where a package manager has put
    /// it, else installs it where that needs no prompt.
    ///
    /// # Errors
    ///
    /// There is none that will do and none can be installed; the error says what to install.
    pub(crate) fn find_or_install(given: Option<&Path>) -> Result<Self> {
        if let Some(folder) = given {
            let programs = Self::at(folder.to_owned()).with_context(|| {
                format!("there is no RabbitMQ in {} (QUITTANCE_RABBITMQ_BIN)", folder.display())
            })?;
            if programs.version < OLDEST {
                bail!(
                    "RabbitMQ {} in {} will not do: RabbitMQ {OLDEST} or later is needed",
                    programs.version,
                    folder.display()
                );
            }
            return Ok(programs);
        }
        if let Some(programs) = Self::find() {
            return Ok(programs);
        }
        // Debian's package starts a node of its own where services are managed, and none elsewhere, in a
        // container, say. Ours shares nothing with it.
        if install("RabbitMQ", "rabbitmq-server", "rabbitmq")? {
            return Self::find().context("RabbitMQ was installed, but is not where it should be");
        }
        bail!(
            "RabbitMQ {OLDEST} or later is needed: install it (`apt-get install rabbitmq-server` as root, or \
             `brew install rabbitmq`), name the folder of its programs in QUITTANCE_RABBITMQ_BIN, or a running \
             one with `--broker amqp://…`"
        )
    }

    fn find() -> Option<Self> {
        folders_in_path()
            .into_iter()
            .chain(PACKAGE_FOLDERS.map(PathBuf::from))
            .filter_map(Self::at)
            .find(|programs| programs.version >= OLDEST)
    }

    /// Looks the version up beside the programs: to ask them for it takes them a second.
    fn at(folder: PathBuf) -> Option<Self> {
        let program = folder.join("rabbitmq-server").canonicalize().ok()?;
        let plugins = program.parent()?.parent()?.join("plugins");
        let version = plugins
            .read_dir()
            .ok()?
            .flatten()
            .find_map(|entry| Version::of_plugin(entry.file_name().to_str()?))?;
        Some(RabbitPrograms { folder, version })
    }
}

impl Version {
    /// Reads the version out of the name of the server's plugin, like `rabbit-3.10.8`.
    fn of_plugin(name: &str) -> Option<Version> {
        let mut numbers = name.strip_prefix("rabbit-")?.split(['.', '-']).map(str::parse);
        let mut next = || numbers.next()?.ok();
        Some(Version { major: next()?, minor: next()?, patch: next()? })
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_read_from_the_name_of_the_plugin() {
        let version = |name| Version::of_plugin(name).map(|version| version.to_string());
        assert_eq!(version("rabbit-3.10.8").as_deref(), Some("3.10.8"));
        assert_eq!(version("rabbit-4.2.0-rc.1.ez").as_deref(), Some("4.2.0"));
        assert_eq!(version("rabbit_common-3.10.8"), None);
        assert_eq!(version("rabbit-next"), None);
    }

    #[test]
    fn later_versions_are_greater() {
        assert!(Version::of_plugin("rabbit-3.9.29").unwrap() < OLDEST);
        assert!(Version::of_plugin("rabbit-3.10.8").unwrap() > OLDEST);
        assert!(Version::of_plugin("rabbit-4.0.5").unwrap() > OLDEST);
    }

    #[test]
    fn a_given_folder_is_the_only_one_looked_at() {
        let error = RabbitPrograms::find_or_install(Some(Path::new("/nowhere"))).unwrap_err();
        assert!(error.to_string().contains("QUITTANCE_RABBITMQ_BIN"), "{error}");
    }
}
