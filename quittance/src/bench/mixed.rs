//! What a day brings: mostly payments, some in two requests, some voided or refunded, and deposits.

use hyper::StatusCode;
use hyper::body::Bytes;
use hyper::header::HeaderValue;
use serde_json::json;

use super::captures::{authorize_then, follow_up};
use super::connection::text_in;
use super::load::{Session, Traffic};
use super::shop::{AMOUNT, Shop};
use super::zipf::mix;

/// Of a hundred steps: 60 payments, 15 authorized and captured, 5 authorized and voided, 10 paid and refunded,
/// 10 deposits.
pub(super) struct Mixed {
    pub(super) shop: Shop,
    pub(super) operator: HeaderValue,
}

impl Traffic for Mixed {
    async fn step(&self, number: u64, session: &mut Session<'_>) -> anyhow::Result<()> {
        let shop = &self.shop;
        match mix(number) % 100 {
            0..60 => {
                session.send("payment", 1, &shop.payment(number, true), StatusCode::CREATED).await?;
            }
            60..75 => authorize_then(shop, number, "capture", session).await?,
            75..80 => authorize_then(shop, number, "void", session).await?,
            80..90 => {
                let paid =
                    session.send("payment", 1, &shop.payment(number, true), StatusCode::CREATED).await?;
                let payment = text_in(&paid, "id", "pay_")?;
                follow_up(shop, number, payment, "refunds", StatusCode::CREATED, session).await?;
            }
            _ => {
                let path = format!("/v1/clients/{}/deposits", shop.client(number).id);
                let body = json!({ "amount": { "amount": AMOUNT, "currency": "EUR" } }).to_string();
                let sent = shop.command(path, &self.operator, Bytes::from(body));
                session.send("deposit", 1, &sent, StatusCode::OK).await?;
            }
        }
        Ok(())
    }
}
