//! The folder of a node: what it holds, and the settings that the node is started with.
//!
//! ```text
//! DIR/rabbitmq/                           a link where RabbitMQ can't cope with the path
//!     node/                               RabbitMQ's own
//!     .erlang.cookie, name, password      drawn once
//!     ports, made_by                      what was chosen last
//!     rabbitmq.conf, enabled_plugins      written at each start
//!     pid, log
//! ```
//!
//! The node runs as ourselves, root or not. RabbitMQ does not mind, and the folder stays closed to
//! everyone else; the node is reachable from this machine only, by those who know its password or cookie.

use std::fs::{self, DirBuilder};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result};
use event_store::entropy;
use nix::unistd::Uid;

use super::programs::RabbitPrograms;
use crate::data_dir::{DataDir, write_private};
use crate::packages::folders_in_path;
use crate::private_server::keep_or_choose_port;

/// The user that a fresh node makes, its only one.
pub(super) const USER: &str = "quittance";

/// Where the node's folder goes whose path RabbitMQ can't cope with. An ordinary user can write there, too;
/// it may be cleaned up one day, and loses nothing then that the log does not have.
const ELSEWHERE: &str = "/var/tmp";

/// The argument that tells the node's process from all others, before the folder. It means nothing to
/// Erlang.
pub(super) const MARK: &str = "-quittance";

/// Where Erlang is beside `PATH`.
const ERLANG_FOLDERS: [&str; 4] =
    ["/usr/bin", "/bin", "/opt/homebrew/opt/erlang/bin", "/usr/local/opt/erlang/bin"];

/// What the Erlang machine is told.
const ERLANG_ARGUMENTS: &str = concat!(
    // Nodes are spoken to from this machine only.
    "-kernel inet_dist_use_interface {127,0,0,1} ",
    // Told to stop, the management plugin asks something of a process that has no ear for it any more,
    // and waits 5 s. By then all queues are closed.
    "-kernel shutdown_timeout 1000 ",
    // Two threads carry all that one log publishes, and none of them spins while it waits: the node
    // shares the machine with what it serves.
    "+S 2:2 +sbwt none +sbwtdcpu none +sbwtdio none",
);

/// The folder of a node.
pub(super) struct Home {
    /// The folder itself, as the operating system names it.
    pub(super) folder: PathBuf,
    /// The node's name before the `@`.
    pub(super) name: String,
    /// The password of [`USER`].
    pub(super) password: String,
}

/// The ports of a node, all of them at 127.0.0.1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ports {
    pub(super) amqp: u16,
    pub(super) management: u16,
    pub(super) distribution: u16,
    pub(super) epmd: u16,
}

impl Home {
    /// Opens the folder of a node, making it where it is missing.
    pub(super) fn open(data: &DataDir) -> Result<Home> {
        let folder = plain_folder(data)?;
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o700))?;
        let mut home = Home { folder, name: String::new(), password: String::new() };
        home.name = format!("quittance-{}", home.drawn_once::<4>("name")?);
        home.password = home.drawn_once::<24>("password")?;
        home.drawn_once::<24>(".erlang.cookie")?;
        fs::set_permissions(home.file(".erlang.cookie"), fs::Permissions::from_mode(0o400))?;
        Ok(home)
    }

    /// Returns the file that the node's messages go to.
    pub(super) fn log_file(&self) -> PathBuf {
        self.file("log")
    }

    /// Returns the file that the node's process notes its number in.
    pub(super) fn pid_file(&self) -> PathBuf {
        self.file("pid")
    }

    /// Returns the ports of the last start, if there was one.
    pub(super) fn last_ports(&self) -> Option<Ports> {
        let text = fs::read_to_string(self.file("ports")).ok()?;
        let mut numbers = text.split_whitespace().map(str::parse);
        let mut next = || numbers.next()?.ok();
        Some(Ports { amqp: next()?, management: next()?, distribution: next()?, epmd: next()? })
    }

    /// Returns the ports of the last start as far as they are free, and others for the rest, and remembers
    /// them.
    pub(super) fn choose_ports(&self) -> Result<Ports> {
        let last = self.last_ports();
        let mut chosen = Vec::new();
        let mut choose = |last: Option<u16>| -> Result<u16> {
            loop {
                let port = keep_or_choose_port("RabbitMQ", last.filter(|port| !chosen.contains(port)))?;
                if !chosen.contains(&port) {
                    chosen.push(port);
                    return Ok(port);
                }
            }
        };
        let ports = Ports {
            amqp: choose(last.map(|last| last.amqp))?,
            management: choose(last.map(|last| last.management))?,
            distribution: choose(last.map(|last| last.distribution))?,
            epmd: choose(last.map(|last| last.epmd))?,
        };
        if last != Some(ports) {
            let Ports { amqp, management, distribution, epmd } = ports;
            let text = format!("{amqp} {management} {distribution} {epmd}\n");
            write_private(&self.file("ports"), text.as_bytes())?;
        }
        Ok(ports)
    }

    /// Removes what another series of RabbitMQ has left behind: not all of them read each other's files,
    /// and the log has everything.
    pub(super) fn make_room(&self, programs: &RabbitPrograms) -> Result<()> {
        let series = format!("{}.{}", programs.version.major, programs.version.minor);
        let made_by = fs::read_to_string(self.file("made_by")).unwrap_or_default();
        let node = self.file("node");
        if made_by != series && node.exists() {
            tracing::info!("RabbitMQ {series} begins with empty queues: those of {made_by} are not for it");
            fs::remove_dir_all(&node).with_context(|| format!("cannot remove {}", node.display()))?;
        }
        fs::create_dir_all(&node).with_context(|| format!("cannot make {}", node.display()))?;
        if made_by != series {
            write_private(&self.file("made_by"), series.as_bytes())?;
        }
        Ok(())
    }

    /// Prepares the node's process, out of reach of a terminal's Ctrl-C and with none of our environment
    /// (it holds passwords, and `RABBITMQ_…` variables would configure the node behind our back).
    pub(super) fn command(&self, programs: &RabbitPrograms, ports: Ports) -> Result<Command> {
        write_private(&self.file("rabbitmq.conf"), self.configuration(ports).as_bytes())?;
        write_private(&self.file("enabled_plugins"), b"[rabbitmq_management].\n")?;

        // The process notes its own number before all else: however we end, no node runs that the next
        // start does not know of.
        let mut command = Command::new("/bin/sh");
        command.args(["-c", "echo $$ >\"$0\" && exec \"$@\""]).arg(self.pid_file());
        command.arg(programs.folder.join("rabbitmq-server")).arg(MARK).arg(&self.folder);
        command.current_dir("/").process_group(0).stdin(Stdio::null());

        let path = folders_in_path().into_iter().chain(ERLANG_FOLDERS.map(PathBuf::from));
        command.env_clear().env("PATH", std::env::join_paths(path)?).env("LC_ALL", "C");
        // Where Erlang looks for the cookie.
        command.env("HOME", &self.folder);
        // The script becomes the node, rather than watch over it.
        command.env("RUNNING_UNDER_SYSTEMD", "true");
        command.env("RABBITMQ_NODENAME", format!("{}@localhost", self.name));
        command.env("RABBITMQ_DIST_PORT", ports.distribution.to_string());
        command.env("RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS", ERLANG_ARGUMENTS);
        // Threads go where there is room, not all nodes' to the same cores.
        command.env("RABBITMQ_SCHEDULER_BIND_TYPE", "u");

        // The log is the file that we hand over.
        command.env("RABBITMQ_LOGS", "-");
        command.env("RABBITMQ_CONFIG_FILE", self.file("rabbitmq.conf"));
        command.env("RABBITMQ_ENABLED_PLUGINS_FILE", self.file("enabled_plugins"));
        command.env("RABBITMQ_MNESIA_BASE", self.file("node"));
        command.env("RABBITMQ_LOG_BASE", self.file("node"));
        command.env("RABBITMQ_FEATURE_FLAGS_FILE", self.file("node").join("feature_flags"));
        // There are none of these; in their usual places there may be, for the system's own node.
        command.env("RABBITMQ_CONF_ENV_FILE", self.file("none"));
        command.env("RABBITMQ_CONFIG_FILES", self.file("none"));
        command.env("RABBITMQ_ADVANCED_CONFIG_FILE", self.file("none"));

        command.env("ERL_EPMD_PORT", ports.epmd.to_string()).env("ERL_EPMD_ADDRESS", "127.0.0.1");
        // It may be told to end while it still knows the node.
        command.env("ERL_EPMD_RELAXED_COMMAND_CHECK", "true");
        // A dump of the memory would hold messages.
        command.env("ERL_CRASH_DUMP_SECONDS", "0");
        Ok(command)
    }

    fn configuration(&self, Ports { amqp, management, .. }: Ports) -> String {
        let Home { password, .. } = self;
        format!(
            "\
# Written at each start.
listeners.tcp.local = 127.0.0.1:{amqp}
management.tcp.ip = 127.0.0.1
management.tcp.port = {management}

# Made in a fresh node, in place of a guest.
default_user = {USER}
default_pass = {password}
default_user_tags.administrator = true
default_vhost = /
default_permissions.configure = .*
default_permissions.read = .*
default_permissions.write = .*

# Queues are bounded, so publishers need not be held up before the machine is really short of something.
vm_memory_high_watermark.absolute = 1GB
disk_free_limit.absolute = 50MB

# What a quorum queue has not yet written to a segment is in memory, too.
raft.wal_max_size_bytes = 67108864

# Counting every message costs more than anyone reads of it.
management.rates_mode = none
collect_statistics_interval = 30000

log.connection.level = warning
"
        )
    }

    /// Reads a secret of this folder, drawing it the first time.
    fn drawn_once<const BYTES: usize>(&self, name: &str) -> Result<String> {
        let path = self.file(name);
        if !path.exists() {
            write_private(&path, hex::encode(entropy::bytes::<BYTES>()).as_bytes())?;
        }
        fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }
}

/// Returns the folder that the node is in, or is to be made in, under a path that RabbitMQ copes with: it
/// hands its path to a shell, unquoted.
fn plain_folder(data: &DataDir) -> Result<PathBuf> {
    let place = data.rabbitmq();
    if is_plain(&place) {
        let made = DirBuilder::new().recursive(true).mode(0o700).create(&place);
        return made
            .and_then(|()| place.canonicalize())
            .with_context(|| format!("cannot make {}", place.display()));
    }
    if let Ok(folder) = place.canonicalize()
        && is_plain(&folder)
        && fs::metadata(&folder).is_ok_and(|folder| folder.uid() == Uid::effective().as_raw())
    {
        return Ok(folder);
    }
    go_elsewhere(&place)
}

/// Makes a folder elsewhere, and a link to it: the only thing that ties the two together.
fn go_elsewhere(place: &Path) -> Result<PathBuf> {
    // What a removed folder has left, or one that was moved here.
    if place.is_symlink() {
        fs::remove_file(place)?;
    } else if place.exists() {
        fs::remove_dir_all(place)?;
    }
    let folder = Path::new(ELSEWHERE).join(format!("quittance-{}", hex::encode(entropy::bytes::<8>())));
    tracing::warn!(
        "RabbitMQ can't cope with special characters in {}: its queues go to {}",
        place.display(),
        folder.display()
    );
    DirBuilder::new()
        .mode(0o700)
        .create(&folder)
        .and_then(|()| std::os::unix::fs::symlink(&folder, place))
        .with_context(|| format!("cannot make {}", folder.display()))?;
    Ok(folder)
}

/// Says whether a shell takes a path for what it is.
fn is_plain(path: &Path) -> bool {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"/._-+@".contains(byte);
    path.as_os_str().as_encoded_bytes().iter().all(plain)
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, TcpListener};

    use super::super::programs::Version;
    use super::*;

    #[test]
    fn ports_stay_as_far_as_they_are_free() {
        let (_folder, home) = home();
        let ports = home.choose_ports().unwrap();
        assert_eq!(home.choose_ports().unwrap(), ports);
        assert_eq!(home.last_ports(), Some(ports));

        let _taken = TcpListener::bind((Ipv4Addr::LOCALHOST, ports.management)).unwrap();
        let others = home.choose_ports().unwrap();
        assert_eq!(others, Ports { management: others.management, ..ports });
        assert_ne!(others, ports);
    }

    #[test]
    fn another_series_begins_with_an_empty_folder() {
        let (_folder, home) = home();
        let queues = home.file("node").join("queues");
        home.make_room(&programs(3, 10, 8)).unwrap();
        fs::write(&queues, "").unwrap();
        home.make_room(&programs(3, 10, 25)).unwrap();
        assert!(queues.exists());
        home.make_room(&programs(4, 0, 5)).unwrap();
        assert!(!queues.exists());
    }

    #[test]
    fn what_is_drawn_stays_and_is_nobody_elses_to_read() {
        let (_folder, home) = home();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&home.folder), 0o700);
        assert_eq!(mode(&home.file(".erlang.cookie")), 0o400);
        assert_eq!(mode(&home.file("password")), 0o600);
        assert_eq!(home.drawn_once::<24>("password").unwrap(), home.password);
    }

    #[test]
    fn a_folder_that_a_shell_would_misread_is_elsewhere() {
        let parent = tempfile::tempdir().unwrap();
        let data = DataDir::open(&parent.path().join("Zoë's work")).unwrap();
        let home = Home::open(&data).unwrap();
        assert!(home.folder.starts_with(Path::new(ELSEWHERE).canonicalize().unwrap()));
        let again = Home::open(&data).unwrap();
        assert_eq!((again.folder, again.password), (home.folder.clone(), home.password));

        fs::remove_dir_all(&home.folder).unwrap();
        let anew = Home::open(&data).unwrap().folder;
        assert_ne!(anew, home.folder);
        fs::remove_dir_all(anew).unwrap();
    }

    fn home() -> (tempfile::TempDir, Home) {
        let folder = tempfile::tempdir().unwrap();
        let data = DataDir::open(folder.path()).unwrap();
        let home = Home::open(&data).unwrap();
        (folder, home)
    }

    fn programs(major: u32, minor: u32, patch: u32) -> RabbitPrograms {
        RabbitPrograms { folder: PathBuf::from("/nowhere"), version: Version { major, minor, patch } }
    }
}
