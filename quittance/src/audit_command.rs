//! `quittance audit verify`

use std::process::ExitCode;

use event_store::secrets::KeyPurpose;

use crate::audit::{VerifyOptions, verify as verify_ledger};
use crate::place::Place;

/// Proves the whole ledger, and says what was checked; fails if there is any finding.
#[expect(clippy::print_stdout, reason = "the report is what the program is asked for")]
pub async fn verify(place: &Place) -> anyhow::Result<ExitCode> {
    let master = place.secrets().ok().and_then(|secrets| secrets.key(KeyPurpose::Master).ok());
    let databases = place.open().await?;
    let report = verify_ledger(VerifyOptions {
        log_url: databases.log_url.clone(),
        read_url: databases.read_url.clone(),
        master_key: master.map(|key| key.secret_key()),
        progress: true,
    })
    .await;
    databases.close().await?;
    let report = report?;
    println!("{report}");
    Ok(if report.holds() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
