//! Payments, authorized and captured in one request; spread over a shop, or all by one client at one merchant.

use anyhow::ensure;
use hyper::StatusCode;

use super::connection::text_in;
use super::load::{Session, Traffic};
use super::shop::Shop;

/// One request a payment, of two events.
pub(super) struct Payments(pub(super) Shop);

impl Traffic for Payments {
    async fn step(&self, number: u64, session: &mut Session<'_>) -> anyhow::Result<()> {
        let answer = session.send("payment", 1, &self.0.payment(number, true), StatusCode::CREATED).await?;
        // A decline is a 201 too.
        let status = text_in(&answer, "status", "")?;
        ensure!(status == "captured", "a payment was not captured but {status}");
        Ok(())
    }
}
