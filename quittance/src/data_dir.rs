//! The data folder of one running system: its lock, its permissions, its files.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

/// The file that tells people and tools how to reach the running system.
pub const CREDENTIALS: &str = "credentials.json";
/// The file that holds the keys and passwords of the system itself.
pub const SECRETS: &str = "secrets.json";

/// What the error of a folder that another process holds begins with.
pub const HELD: &str = "another quittance is running on";

/// A data folder held by this process, and by no other, for as long as the value lives.
///
/// What only reads the folder beside a running system (`demo`, `audit`) needs no `DataDir`: it joins
/// [`CREDENTIALS`] to the path.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    /// The operating system lets go of the lock when the file is closed, however the process ends.
    _lock: File,
}

impl DataDir {
    /// Opens the folder, making it (mode 0700) where it is missing, and takes its lock.
    ///
    /// # Errors
    ///
    /// Another process holds the folder, or it can't be made or written.
    pub fn open(path: &Path) -> Result<DataDir> {
        make(path).with_context(|| format!("cannot make the data folder {}", path.display()))?;
        let path =
            path.canonicalize().with_context(|| format!("cannot find the data folder {}", path.display()))?;
        let lock_path = path.join("lock");
        let lock = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&lock_path)
            .with_context(|| format!("cannot open {} (whose folder is it?)", lock_path.display()))?;
        match lock.try_lock() {
            Ok(()) => Ok(DataDir { path, _lock: lock }),
            Err(TryLockError::WouldBlock) => bail!("{HELD} {}", path.display()),
            Err(TryLockError::Error(error)) => {
                Err(error).with_context(|| format!("cannot lock {}", lock_path.display()))
            }
        }
    }

    /// Returns the folder's absolute path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the path of the file that tells how to reach the system.
    #[must_use]
    pub fn credentials(&self) -> PathBuf {
        self.path.join(CREDENTIALS)
    }

    /// Returns the path of the file that holds the system's own keys.
    #[must_use]
    pub fn secrets(&self) -> PathBuf {
        self.path.join(SECRETS)
    }

    /// Returns the folder of the private PostgreSQL, or the link to it.
    #[must_use]
    pub fn postgres(&self) -> PathBuf {
        self.path.join("postgres")
    }

    /// Returns the folder of the private RabbitMQ.
    #[must_use]
    pub fn rabbitmq(&self) -> PathBuf {
        self.path.join("rabbitmq")
    }
}

/// Writes a file that only its owner may read (mode 0600), in one step.
///
/// After a crash the file is either as it was or as it should be, never half of it; when this returns,
/// it is on the disk.
///
/// # Errors
///
/// The folder can't be written.
pub fn write_private(path: &Path, contents: &[u8]) -> Result<()> {
    replace(path, contents).with_context(|| format!("cannot write {}", path.display()))
}

fn replace(path: &Path, contents: &[u8]) -> std::io::Result<()> {
    let name = path.file_name().ok_or(ErrorKind::InvalidInput)?;
    let folder = path.parent().ok_or(ErrorKind::InvalidInput)?;
    let mut temporary = std::ffi::OsString::from(".");
    temporary.push(name);
    temporary.push(".new");
    let temporary = folder.join(temporary);

    // What a crash left behind may have any mode: a new file has ours.
    match fs::remove_file(&temporary) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
    file.write_all(contents)?;
    file.sync_all()?;
    fs::rename(&temporary, path)?;
    sync_folder(folder)
}

/// Brings the names in a folder to the disk: without it a rename may be undone by a power cut.
pub(crate) fn sync_folder(folder: &Path) -> std::io::Result<()> {
    File::open(folder)?.sync_all()
}

fn make(path: &Path) -> std::io::Result<()> {
    // The parents are made as anyone would: only the folder itself is private.
    if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        fs::create_dir_all(parent)?;
    }
    match DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
        made => made,
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn a_new_folder_is_closed_to_others() {
        let parent = tempfile::tempdir().unwrap();
        let data = DataDir::open(&parent.path().join("a/b")).unwrap();
        assert_eq!(mode(data.path()), 0o700);
        assert_eq!(mode(&data.path().join("lock")), 0o600);
    }

    #[test]
    fn a_second_holder_is_refused_until_the_first_lets_go() {
        let parent = tempfile::tempdir().unwrap();
        let first = DataDir::open(parent.path()).unwrap();
        let refusal = DataDir::open(parent.path()).unwrap_err();
        assert_eq!(
            refusal.to_string(),
            format!("another quittance is running on {}", first.path().display())
        );
        drop(first);
        DataDir::open(parent.path()).unwrap();
    }

    #[test]
    fn a_private_file_is_replaced_whole() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join(SECRETS);
        fs::write(parent.path().join(".secrets.json.new"), "left behind by a crash").unwrap();
        write_private(&path, b"first").unwrap();
        write_private(&path, b"second").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"second");
        assert_eq!(mode(&path), 0o600);
        assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 1);
    }
}
