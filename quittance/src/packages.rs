//! How programs that are missing are found on this machine, or installed by its package manager.
//!
//! `xtask` compiles this file too: it must need nothing but the standard library and `anyhow`.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result, bail};

/// Held by whoever installs: package managers give up where another is at work.
static INSTALLING: Mutex<()> = Mutex::new(());

/// Lists the folders that programs are looked for in.
pub(crate) fn folders_in_path() -> Vec<PathBuf> {
    #[expect(clippy::disallowed_methods, reason = "a look-up in PATH is no configuration of ours")]
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).filter(|folder| folder.is_absolute()).collect()
}

/// Installs a program if that can be done without asking anyone, and says whether it was: by its name for
/// people and its names for package managers.
///
/// # Errors
///
/// The package manager can't do it; it has said why.
pub(crate) fn install(program: &str, apt_name: &str, brew_name: &str) -> Result<bool> {
    let _alone = INSTALLING.lock().unwrap_or_else(PoisonError::into_inner);
    let root = is_root();
    if root && let Some(apt_get) = in_path("apt-get") {
        eprintln!("{program} is missing: installing it with apt-get");
        // One source of several may be out of reach: the installation says whether that matters.
        let _ = run(program, apt_command(&apt_get).arg("update"));
        run(program, apt_command(&apt_get).args(["install", "-y", "--no-install-recommends", apt_name]))?;
        return Ok(true);
    }
    if !root && let Some(brew) = in_path("brew") {
        eprintln!("{program} is missing: installing it with brew");
        run(program, Command::new(brew).args(["install", brew_name]).env("NONINTERACTIVE", "1"))?;
        return Ok(true);
    }
    Ok(false)
}

fn apt_command(apt_get: &Path) -> Command {
    let mut command = Command::new(apt_get);
    // A machine that has just started may be updating itself: wait for it rather than fail.
    command.args(["-q", "-o", "DPkg::Lock::Timeout=120"]).env("DEBIAN_FRONTEND", "noninteractive");
    command
}

/// Runs a package manager, with nobody to answer it and its chatter kept out of our output.
fn run(program: &str, command: &mut Command) -> Result<()> {
    let name = command.get_program().display().to_string();
    let status = command
        .stdin(Stdio::null())
        .stdout(std::io::stderr())
        .status()
        .with_context(|| format!("cannot run {name}"))?;
    if !status.success() {
        bail!("{name} could not install {program} ({status}); install it by hand");
    }
    Ok(())
}

fn in_path(program: &str) -> Option<PathBuf> {
    folders_in_path().into_iter().map(|folder| folder.join(program)).find(|path| path.is_file())
}

fn is_root() -> bool {
    Command::new("id").arg("-u").output().is_ok_and(|id| id.stdout == b"0\n")
}
