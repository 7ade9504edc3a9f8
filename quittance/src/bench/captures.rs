//! Payments in two requests: authorized, then captured.

use hyper::StatusCode;
use hyper::body::Bytes;

use super::connection::text_in;
use super::load::{Session, Traffic};
use super::shop::Shop;

/// Two requests a payment.
pub(super) struct Captures(pub(super) Shop);

impl Traffic for Captures {
    async fn step(&self, number: u64, session: &mut Session<'_>) -> anyhow::Result<()> {
        authorize_then(&self.0, number, "capture", session).await
    }
}

/// Authorizes the n-th payment, and does something with it.
pub(super) async fn authorize_then(
    shop: &Shop,
    number: u64,
    verb: &'static str,
    session: &mut Session<'_>,
) -> anyhow::Result<()> {
    let authorized =
        session.send("authorization", 1, &shop.payment(number, false), StatusCode::CREATED).await?;
    // Of a decline this is refused, and so ends the run.
    follow_up(shop, number, text_in(&authorized, "id", "pay_")?, verb, StatusCode::OK, session).await
}

/// Does something with a payment of the n-th payment's merchant.
pub(super) async fn follow_up(
    shop: &Shop,
    number: u64,
    payment: &str,
    verb: &'static str,
    expected: StatusCode,
    session: &mut Session<'_>,
) -> anyhow::Result<()> {
    let path = format!("/v1/payments/{payment}/{verb}");
    let merchant = shop.merchant(number);
    let sent = shop.command(path, &merchant.authorization, Bytes::from_static(b"{}"));
    session.send(verb, 1, &sent, expected).await?;
    Ok(())
}
