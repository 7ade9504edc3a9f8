//! The cluster of a data folder: where it is, whose it is, and how it is made.
//!
//! ```text
//! DIR/postgres/            ours; a link where the server's user can't get into DIR
//!     pg/                  the cluster, the server's user's
//!     password, port, log
//! ```
//!
//! PostgreSQL refuses to run as root. Started by root, the server runs as another user, who owns nothing
//! but the cluster: so a server taken over by an attacker can't lead root to a file of its choice.

use std::fs::{self, DirBuilder};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use event_store::entropy;
use nix::unistd::{Uid, User};
use sha2::{Digest, Sha256};

use super::programs::PostgresPrograms;
use crate::data_dir::{DataDir, sync_folder, write_private};

/// Where clusters go whose data folder is closed to the server's user.
const OPEN_FOLDER: &str = "/var/lib/quittance";

/// The superuser that `initdb` makes.
pub(super) const SUPERUSER: &str = "postgres";

/// A cluster that exists, with all that is needed to run it.
pub(super) struct Cluster {
    /// The folder of PostgreSQL itself, as the operating system names it.
    pub(super) folder: PathBuf,
    /// The superuser's password.
    pub(super) password: String,
    home: PathBuf,
    user: Option<ServerUser>,
    programs: PostgresPrograms,
}

impl Cluster {
    /// Opens the cluster of a data folder, and makes it first where there is none.
    pub(super) async fn open(data: &DataDir, pg_bin: Option<&Path>) -> Result<Cluster> {
        // The programs come first: installing them may be what brings the server's user.
        let programs = PostgresPrograms::find_or_install(pg_bin, made_by(&data.postgres().join("pg")))?;
        let user = ServerUser::of_cluster(&data.postgres().join("pg"))?;
        let home = open_home(data, user)?;
        let mut cluster = Cluster { folder: home.join("pg"), password: String::new(), home, user, programs };
        if !cluster.folder.exists() {
            cluster.make().await?;
        }
        cluster.password = fs::read_to_string(cluster.password_file())
            .with_context(|| format!("cannot read {}", cluster.password_file().display()))?;
        Ok(cluster)
    }

    /// Returns the file that remembers the server's port.
    pub(super) fn port_file(&self) -> PathBuf {
        self.home.join("port")
    }

    /// Returns the file that the server's messages go to.
    pub(super) fn log_file(&self) -> PathBuf {
        self.home.join("log")
    }

    /// Prepares a program of PostgreSQL to run as the server's user, out of reach of a terminal's Ctrl-C.
    pub(super) fn command(&self, program: &str) -> Command {
        command(&self.programs.folder.join(program), self.user, &self.home)
    }

    fn password_file(&self) -> PathBuf {
        self.home.join("password")
    }

    /// Makes the cluster. Whatever stops it half-way, the next start begins anew: only a cluster that
    /// `initdb` has finished ever bears its name.
    async fn make(&self) -> Result<()> {
        self.remove_unfinished();
        write_private(&self.password_file(), hex::encode(entropy::bytes::<24>()).as_bytes())?;
        self.give(&self.password_file())?;

        // A name of its own: an `initdb` that outlived a killed program cleans up after itself.
        let unfinished = self.home.join(format!("pg.new.{}", hex::encode(entropy::bytes::<4>())));
        DirBuilder::new()
            .mode(0o700)
            .create(&unfinished)
            .with_context(|| format!("cannot make {}", unfinished.display()))?;
        self.give(&unfinished)?;

        let mut initdb = self.command("initdb");
        initdb
            .arg("--pgdata")
            .arg(&unfinished)
            .arg("--pwfile")
            .arg(self.password_file())
            .args(["--username", SUPERUSER, "--auth", "scram-sha-256"])
            .args(["--no-locale", "--encoding", "UTF8", "--data-checksums"]);
        let output = tokio::process::Command::from(initdb)
            .kill_on_drop(true)
            .output()
            .await
            .context("cannot run initdb")?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            bail!("initdb could not make {} ({}): {}", unfinished.display(), output.status, said.trim());
        }
        fs::rename(&unfinished, &self.folder)
            .and_then(|()| sync_folder(&self.home))
            .with_context(|| format!("cannot rename {}", unfinished.display()))
    }

    /// Removes what killed attempts left behind, as far as that goes: it is only in the way of order.
    fn remove_unfinished(&self) {
        for entry in fs::read_dir(&self.home).into_iter().flatten().flatten() {
            if entry.file_name().to_string_lossy().starts_with("pg.new.") {
                let _ = fs::remove_dir_all(entry.path());
            }
        }
    }

    fn give(&self, path: &Path) -> Result<()> {
        let Some(user) = self.user else { return Ok(()) };
        std::os::unix::fs::chown(path, Some(user.uid), Some(user.gid))
            .with_context(|| format!("cannot give {} to the server's user", path.display()))
    }
}

/// Who the server runs as where that is not ourselves.
#[derive(Debug, Clone, Copy)]
struct ServerUser {
    uid: u32,
    gid: u32,
}

impl ServerUser {
    /// Names the user that root runs the cluster's server as: its owner, once there is one.
    fn of_cluster(folder: &Path) -> Result<Option<ServerUser>> {
        if !Uid::effective().is_root() {
            return Ok(None);
        }
        if let Ok(owned) = fs::metadata(folder) {
            return Ok(Some(ServerUser { uid: owned.uid(), gid: owned.gid() }));
        }
        for name in ["postgres", "nobody"] {
            if let Some(user) = User::from_name(name).context("cannot look up users")? {
                return Ok(Some(ServerUser { uid: user.uid.as_raw(), gid: user.gid.as_raw() }));
            }
        }
        bail!(
            "PostgreSQL can't run as root, and there is no user `postgres` or `nobody`: make one, or start as another user"
        )
    }
}

/// Reads which major version made the cluster, if there is one.
fn made_by(folder: &Path) -> Option<u32> {
    fs::read_to_string(folder.join("PG_VERSION")).ok()?.trim().parse().ok()
}

/// Returns the folder that the cluster is in, or is to be made in, where the server's user can get.
fn open_home(data: &DataDir, user: Option<ServerUser>) -> Result<PathBuf> {
    let link = data.postgres();
    if fs::symlink_metadata(&link).is_err() {
        make_home(data, user)?;
    }
    let home = link.canonicalize().with_context(|| format!("{} leads nowhere", link.display()))?;
    let Some(user) = user else { return Ok(home) };
    if home.starts_with(data.path()) {
        let_through(data.path(), user)?;
    }
    if !can_enter(user, &home) {
        bail!(
            "PostgreSQL can't run as root, and the user that it runs as can't get into {}: open the folders \
             above it to others (chmod o+x)",
            home.display()
        );
    }
    Ok(home)
}

fn make_home(data: &DataDir, user: Option<ServerUser>) -> Result<()> {
    let link = data.postgres();
    let Some(user) = user else { return make_folder(&link, 0o700) };
    if data.path().parent().is_none_or(|parent| can_enter(user, parent)) {
        return make_folder(&link, 0o711);
    }

    // A checkout under a closed home, say. The link is the only thing that ties the two together: the
    // data folder may be moved, and one that was removed does not haunt the next of its name.
    if !Path::new(OPEN_FOLDER).exists() {
        make_folder(Path::new(OPEN_FOLDER), 0o711)?;
    }
    let home = unused_name(data.path());
    tracing::warn!(
        "the user that PostgreSQL runs as can't get into {}: its database goes to {}",
        data.path().display(),
        home.display()
    );
    make_folder(&home, 0o711)?;
    std::os::unix::fs::symlink(&home, &link).with_context(|| format!("cannot make {}", link.display()))
}

/// Names a folder after the data folder, so that people see what belongs together.
fn unused_name(data: &Path) -> PathBuf {
    let name = data.file_name().unwrap_or_default().to_string_lossy();
    let hash = Sha256::digest(data.as_os_str().as_encoded_bytes());
    let name = format!("{}-{}", name.trim_start_matches('.'), hex::encode(&hash[..4]));
    let mut path = Path::new(OPEN_FOLDER).join(&name);
    let mut n = 1;
    while path.exists() {
        n += 1;
        path.set_file_name(format!("{name}-{n}"));
    }
    path
}

/// Lets the server's user pass through the data folder, though not look around in it.
fn let_through(folder: &Path, user: ServerUser) -> Result<()> {
    if can_enter(user, folder) {
        return Ok(());
    }
    let mode = fs::metadata(folder)?.permissions().mode();
    std::os::unix::fs::chown(folder, None, Some(user.gid))
        .and_then(|()| fs::set_permissions(folder, fs::Permissions::from_mode(mode & 0o7707 | 0o010)))
        .with_context(|| format!("cannot let the server's user through {}", folder.display()))
}

/// Tries it out, which is right also where access is not a matter of mode bits alone.
fn can_enter(user: ServerUser, folder: &Path) -> bool {
    let mut shell = command(Path::new("/bin/sh"), Some(user), Path::new("/"));
    shell.args(["-c", "cd -- \"$1\"", "sh"]).arg(folder).stderr(Stdio::null());
    shell.status().is_ok_and(|status| status.success())
}

/// Prepares a program to run as the server's user, with none of our environment (it holds passwords,
/// and `PG…` variables would configure the server behind our back).
fn command(program: &Path, user: Option<ServerUser>, home: &Path) -> Command {
    let mut command = Command::new(program);
    command.env_clear().env("PATH", "/usr/bin:/bin").env("LC_ALL", "C").env("HOME", home);
    command.current_dir("/").process_group(0).stdin(Stdio::null());
    if let Some(user) = user {
        command.uid(user.uid).gid(user.gid);
    }
    command
}

fn make_folder(path: &Path, mode: u32) -> Result<()> {
    // The mode is set afterwards, too: the caller's umask would narrow it.
    DirBuilder::new()
        .mode(mode)
        .create(path)
        .and_then(|()| fs::set_permissions(path, fs::Permissions::from_mode(mode)))
        .with_context(|| format!("cannot make {}", path.display()))
}
