//! The audit that ends each run: one whose books do not balance has no result.

use std::time::{Duration, Instant};

use anyhow::bail;
use serde::Serialize;

use super::reading::per_second;
use super::target::Target;
use crate::audit::{VerifyOptions, verify};

/// Books that balance.
#[derive(Clone, Serialize)]
pub(super) struct Books {
    balance: bool,
    /// How long the audit took.
    audit_seconds: f64,
    /// How many events it has read.
    pub(super) events: u64,
}

impl Books {
    /// Tells how many events a second the audit went through.
    pub(super) fn events_per_second(&self) -> f64 {
        per_second(self.events, Duration::from_secs_f64(self.audit_seconds))
    }
}

/// Audits the log, the write side and the read models at a URL.
///
/// # Errors
///
/// The books do not balance, or the audit can't be finished.
pub(super) async fn audit(target: &Target, read_url: &str) -> anyhow::Result<Books> {
    let events = target.head().await?;
    let began = Instant::now();
    let report = verify(VerifyOptions {
        log_url: target.credentials.database_url.clone(),
        read_url: read_url.to_owned(),
        master_key: Some(target.master_key.clone()),
        progress: true,
    })
    .await?;
    if !report.holds() {
        bail!("the books do not balance, so there is no result:\n{report}");
    }
    Ok(Books { balance: true, audit_seconds: began.elapsed().as_secs_f64(), events })
}
