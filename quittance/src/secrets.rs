//! `secrets.json` of a data folder, made once; and `quittance secrets`, which makes the files of services
//! that run as programs of their own.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

use anyhow::{Context, ensure};
use event_store::migrate::DatabaseRole;
use event_store::secrets::{KeyPurpose, Secrets, draw_password};

use crate::data_dir::{SECRETS, write_private};

/// Reads a secrets file, or makes it if there is none: only for a log that is new, or it would stand in the
/// place of the file that has to be restored.
///
/// # Errors
///
/// The file can't be read or written, or is missing though there is a log.
pub fn load_or_create(path: &Path, log_is_new: bool) -> anyhow::Result<Secrets> {
    if !path.exists() {
        let shown = path.display();
        ensure!(log_is_new, "{shown} is missing; restore the secrets.json that was made with this log");
        write_private(path, Secrets::draw(path).to_text().as_bytes())?;
    }
    Ok(Secrets::read(path)?)
}

/// Makes a folder with new secrets for a deployment: all of them for `migrate` and the backup, what each
/// service needs in a file of its own, and the passwords that PostgreSQL and RabbitMQ are set up with.
///
/// # Errors
///
/// There is such a folder already: its secrets may be those of a log. Or it can't be written.
pub fn make_folder(folder: &Path) -> anyhow::Result<()> {
    let shown = folder.display();
    DirBuilder::new().mode(0o700).create(folder).with_context(|| {
        format!("can't make the folder {shown}; name a new one, in a folder that can be written")
    })?;
    let secrets = Secrets::draw(&folder.join(SECRETS));
    let broker = format!(
        "default_user = quittance\ndefault_pass = {}\n",
        secrets.broker_password.as_deref().unwrap_or_default()
    );
    write_private(&folder.join(SECRETS), secrets.to_text().as_bytes())?;
    write_parts(folder, &secrets)?;
    write_private(&folder.join("postgres_password"), format!("{}\n", draw_password()).as_bytes())?;
    write_private(&folder.join("rabbitmq.conf"), broker.as_bytes())
}

/// Writes what each service needs of the secrets into a file named after it.
///
/// # Errors
///
/// The folder can't be written.
pub fn write_parts(folder: &Path, secrets: &Secrets) -> anyhow::Result<()> {
    for (file, keys, role, with_broker) in [
        ("command-api.json", KeyPurpose::ALL.as_slice(), DatabaseRole::Command, true),
        ("projectors.json", &[KeyPurpose::Master], DatabaseRole::Projector, true),
        ("query-api.json", &[], DatabaseRole::Query, false),
    ] {
        let part = secrets.only(keys, role, with_broker);
        write_private(&folder.join(file), part.to_text().as_bytes())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_folder_of_secrets_is_made_once() {
        let parent = tempfile::tempdir().unwrap();
        let folder = parent.path().join("secrets");
        make_folder(&folder).unwrap();
        let all = Secrets::read(&folder.join(SECRETS)).unwrap();
        for file in std::fs::read_dir(&folder).unwrap() {
            assert_eq!(file.unwrap().metadata().unwrap().permissions().mode() & 0o777, 0o600);
        }
        let part = Secrets::read(&folder.join("projectors.json")).unwrap();
        assert_eq!(part.broker_password, all.broker_password);
        assert!(part.key(KeyPurpose::Fingerprint).is_err());
        let broker = std::fs::read_to_string(folder.join("rabbitmq.conf")).unwrap();
        assert!(broker.ends_with(&format!("default_pass = {}\n", all.broker_password.clone().unwrap())));

        let refused = make_folder(&folder).unwrap_err();
        assert!(format!("{refused:#}").contains("name a new one"), "{refused:#}");
        assert_eq!(Secrets::read(&folder.join(SECRETS)).unwrap().to_text(), all.to_text());
    }
}
