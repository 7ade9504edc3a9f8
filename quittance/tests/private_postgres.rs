//! The private PostgreSQL through its life: each test makes a cluster of its own, to kill it as it likes.

#![expect(clippy::unwrap_used, reason = "a test says plainly what must be so")]

use std::fs::Permissions;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use quittance::data_dir::DataDir;
use quittance::private_postgres::PrivatePostgres;
use sqlx::{Connection, PgConnection};
use tempfile::TempDir;

#[tokio::test]
async fn it_keeps_its_data_and_its_port_over_a_stop() {
    let (_folder, data) = data_dir();
    let postgres = start(&data).await;
    let port = postgres.port();
    note(&postgres, "kept").await;
    assert_eq!(setting(&postgres, "fsync").await, "on");
    assert_eq!(setting(&postgres, "synchronous_commit").await, "on");
    assert_eq!(setting(&postgres, "listen_addresses").await, "127.0.0.1");
    postgres.stop().await.unwrap();

    let postgres = start(&data).await;
    assert_eq!(postgres.port(), port);
    assert_eq!(notes(&postgres).await, ["kept"]);
    postgres.stop().await.unwrap();
}

#[tokio::test]
async fn it_takes_another_port_when_its_own_is_taken() {
    let (_folder, data) = data_dir();
    let postgres = start(&data).await;
    let port = postgres.port();
    postgres.stop().await.unwrap();

    let _taken = std::net::TcpListener::bind(("127.0.0.1", port)).unwrap();
    let postgres = start(&data).await;
    assert_ne!(postgres.port(), port);
    postgres.stop().await.unwrap();
}

#[tokio::test]
async fn it_starts_again_after_its_server_was_killed_at_work() {
    let (_folder, data) = data_dir();
    let mut postgres = start(&data).await;
    note(&postgres, "kept").await;
    // A backend that is in the middle of a statement outlives its server and holds the shared memory.
    let mut busy = connect(&postgres).await;
    let work = "select count(*) from generate_series(1, 8000000) a where a % 7 = 3";
    let busy = tokio::spawn(async move { sqlx::query(work).execute(&mut busy).await });
    tokio::time::sleep(Duration::from_millis(300)).await;

    kill(Pid::from_raw(postgres.pid()), Signal::SIGKILL).unwrap();
    postgres.ended().await;
    let again = start(&data).await;
    assert_eq!(again.port(), postgres.port());
    assert_eq!(notes(&again).await, ["kept"]);
    again.stop().await.unwrap();
    let _ = busy.await;
}

#[tokio::test]
async fn it_adopts_the_server_that_a_killed_program_left_behind() {
    let (_folder, data) = data_dir();
    let left_behind = start(&data).await;
    note(&left_behind, "kept").await;
    let pid = left_behind.pid();
    // What `kill -9` leaves: a server that nobody has told anything.
    std::mem::forget(left_behind);

    let adopted = start(&data).await;
    assert_eq!(adopted.pid(), pid);
    assert_eq!(notes(&adopted).await, ["kept"]);
    adopted.stop().await.unwrap();
    assert!(!data.postgres().join("pg/postmaster.pid").exists());
}

#[tokio::test]
async fn it_replaces_a_left_behind_server_that_is_stopping() {
    let (_folder, data) = data_dir();
    let left_behind = start(&data).await;
    note(&left_behind, "kept").await;
    let pid = left_behind.pid();
    std::mem::forget(left_behind);
    kill(Pid::from_raw(pid), Signal::SIGINT).unwrap();

    let postgres = start(&data).await;
    assert_ne!(postgres.pid(), pid);
    assert_eq!(notes(&postgres).await, ["kept"]);
    postgres.stop().await.unwrap();
}

#[tokio::test]
async fn it_is_not_deceived_by_a_process_number_that_another_program_bears() {
    let (_folder, data) = data_dir();
    let postgres = start(&data).await;
    note(&postgres, "kept").await;
    postgres.stop().await.unwrap();

    // Of the server's user, or PostgreSQL itself would see through it.
    let owner = std::fs::metadata(data.postgres().join("pg")).unwrap();
    let mut other = Command::new("sleep").arg("60").uid(owner.uid()).gid(owner.gid()).spawn().unwrap();
    let lock_file = data.postgres().join("pg/postmaster.pid");
    std::fs::write(&lock_file, format!("{}\n/elsewhere\n1\n5432\n", other.id())).unwrap();
    chown(&lock_file, Some(owner.uid()), Some(owner.gid())).unwrap();

    let postgres = start(&data).await;
    assert_eq!(notes(&postgres).await, ["kept"]);
    postgres.stop().await.unwrap();
    assert!(other.try_wait().unwrap().is_none(), "an innocent process was killed");
    other.kill().unwrap();
    other.wait().unwrap();
}

#[tokio::test]
async fn it_begins_anew_where_a_killed_initdb_left_half_a_cluster() {
    let (_folder, data) = data_dir();
    let half = data.postgres().join("pg.new.0badcafe/base");
    std::fs::create_dir_all(&half).unwrap();
    let postgres = start(&data).await;
    assert!(!half.exists());
    postgres.stop().await.unwrap();
}

/// A checkout in root's closed home is no place for a server that may not run as root.
#[tokio::test]
async fn it_goes_elsewhere_when_the_folder_is_closed_to_it() {
    if !nix::unistd::Uid::effective().is_root() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    std::fs::set_permissions(folder.path(), Permissions::from_mode(0o700)).unwrap();
    let data = DataDir::open(&folder.path().join("checkout/.quittance")).unwrap();
    let postgres = start(&data).await;
    note(&postgres, "kept").await;
    postgres.stop().await.unwrap();

    let elsewhere = data.postgres().canonicalize().unwrap();
    assert!(elsewhere.starts_with("/var/lib/quittance"), "{}", elsewhere.display());
    let postgres = start(&data).await;
    assert_eq!(notes(&postgres).await, ["kept"]);
    postgres.stop().await.unwrap();
    std::fs::remove_dir_all(elsewhere).unwrap();
}

/// Makes a data folder that goes away with the test.
fn data_dir() -> (TempDir, DataDir) {
    let folder = tempfile::tempdir().unwrap();
    let data = DataDir::open(&folder.path().join("data")).unwrap();
    (folder, data)
}

async fn start(data: &DataDir) -> PrivatePostgres {
    PrivatePostgres::start(data, None).await.unwrap()
}

async fn connect(postgres: &PrivatePostgres) -> PgConnection {
    PgConnection::connect(&postgres.owner_url("postgres")).await.unwrap()
}

async fn setting(postgres: &PrivatePostgres, name: &str) -> String {
    let query = sqlx::query_scalar("select current_setting($1)").bind(name);
    query.fetch_one(&mut connect(postgres).await).await.unwrap()
}

async fn note(postgres: &PrivatePostgres, text: &str) {
    let mut connection = connect(postgres).await;
    sqlx::query("create table if not exists notes (text text)").execute(&mut connection).await.unwrap();
    sqlx::query("insert into notes values ($1)").bind(text).execute(&mut connection).await.unwrap();
}

async fn notes(postgres: &PrivatePostgres) -> Vec<String> {
    sqlx::query_scalar("select text from notes").fetch_all(&mut connect(postgres).await).await.unwrap()
}
