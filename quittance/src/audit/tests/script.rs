//! A log written by hand, event by event.

use ledger_core::ids::{EventId, StreamId};
use ledger_core::personal::Sealed;
use serde_json::{Value, json};
use sqlx::types::chrono::DateTime;

use super::{row, subject_key};
use crate::audit::log::LogRow;

pub(super) const DAY: i64 = 86_400_000_000;

pub(super) fn id(prefix: &str, n: u128) -> String {
    format!("{prefix}_{:032x}", 0x0197_0000_0000_7000_8000_0000_0000_0000_u128 + n)
}

pub(super) fn eur(minor: i64) -> Value {
    json!({ "amount": minor, "currency": "EUR" })
}

pub(super) fn debit(account: &str, minor: i64) -> Value {
    json!({ "account": account, "debit": eur(minor) })
}

pub(super) fn credit(account: &str, minor: i64) -> Value {
    json!({ "account": account, "credit": eur(minor) })
}

/// A log while it is written: each event is one batch of its own unless it goes with the one before.
pub(super) struct Script {
    pub(super) events: Vec<Value>,
    pub(super) now: i64,
    pub(super) requests: u32,
}

impl Script {
    /// Begins with an operator's key, a client with 200.00 EUR and a card, and a merchant with a key.
    pub(super) fn new() -> Self {
        let mut script = Self { events: Vec::new(), now: 1_790_000_000_000_000, requests: 0 };
        script.system(&id("key", 1), "api_key.created", json!({ "role": "operator", "merchant_id": null }));
        script.operator(
            &id("cli", 1),
            "client.opened",
            json!({ "name": script.sealed("name"), "email": null, "metadata": null }),
            json!([]),
        );
        script.operator(
            &id("cli", 1),
            "client.deposited",
            json!({ "amount": eur(20_000), "reference": null }),
            json!([debit("house:bank", 20_000), credit(&available(), 20_000)]),
        );
        script.operator(
            &id("card", 1),
            "card.issued",
            json!({
                "client_id": id("cli", 1), "brand": "visa", "last4": "4242", "exp_month": 12, "exp_year": 2030,
                "registered": true, "fingerprint_key": 1, "cvc_key": 1,
            }),
            json!([]),
        );
        script.operator(
            &id("mer", 1),
            "merchant.opened",
            json!({
                "name": "Corner shop", "metadata": null, "fee": { "percent": "1.40", "fixed": [eur(25)] },
                "fee_version": 1, "settlement_delay_days": 2, "refund_fee": "returned", "negative_limit": [],
            }),
            json!([]),
        );
        script.operator(
            &id("key", 2),
            "api_key.created",
            json!({ "role": "merchant", "merchant_id": id("mer", 1) }),
            json!([]),
        );
        script
    }

    /// Seals a name for the client, in the event that comes next.
    pub(super) fn sealed(&self, field: &str) -> Value {
        let (subject, event): (StreamId, EventId) =
            (id("cli", 1).parse().unwrap(), self.event_id().parse().unwrap());
        json!(Sealed::seal(&subject_key(), subject, event, field, [7; 12], &json!("Ada Lovelace")))
    }

    pub(super) fn event_id(&self) -> String {
        id("evt", self.events.len() as u128 + 1)
    }

    pub(super) fn system(&mut self, stream: &str, kind: &str, data: Value) {
        self.append("system:cli", None, stream, kind, data, json!([]));
    }

    pub(super) fn operator(&mut self, stream: &str, kind: &str, data: Value, postings: Value) {
        self.requests += 1;
        let request = format!("request-{}", self.requests);
        self.append(&id("key", 1), Some(&request), stream, kind, data, postings);
    }

    pub(super) fn merchant(&mut self, stream: &str, kind: &str, data: Value, postings: Value) {
        self.requests += 1;
        self.same_request(stream, kind, data, postings);
    }

    /// Appends an event for the same request as the one before, in the same batch.
    pub(super) fn same_request(&mut self, stream: &str, kind: &str, data: Value, postings: Value) {
        let request = format!("request-{}", self.requests);
        if self.events.last().is_some_and(|last| last["request_id"] == request.as_str()) {
            self.now -= 1;
        }
        self.append(&id("key", 2), Some(&request), stream, kind, data, postings);
    }

    pub(super) fn append(
        &mut self,
        actor: &str,
        request: Option<&str>,
        stream: &str,
        kind: &str,
        data: Value,
        postings: Value,
    ) {
        let version = 1 + self.events.iter().filter(|event| event["stream_id"] == stream).count();
        self.events.push(json!({
            "position": self.events.len() + 1, "event_id": self.event_id(), "stream_id": stream,
            "version": version, "type": kind, "schema_version": 1, "recorded_at": spelled(self.now),
            "actor": actor, "request_id": request, "postings": postings, "data": data,
        }));
        self.now += 1;
    }

    /// Authorizes payment `n`.
    pub(super) fn authorize(&mut self, n: u128, minor: i64, capture: &str) {
        let mut data = details(minor, capture);
        data["client_id"] = json!(id("cli", 1));
        data["expires_at"] = json!(spelled(self.now + 7 * DAY));
        self.merchant(
            &id("pay", n),
            "payment.authorized",
            data,
            json!([debit(&available(), minor), credit(&held(), minor)]),
        );
    }

    pub(super) fn capture(&mut self, n: u128, (amount, fee, released): (i64, i64, i64), is_final: bool) {
        let settles_on = DateTime::from_timestamp_micros(self.now + 2 * DAY).unwrap().date_naive();
        let mut postings = vec![
            debit(&held(), amount + released),
            credit(&pending(), amount - fee),
            credit("house:fees", fee),
        ];
        if released > 0 {
            postings.push(credit(&available(), released));
        }
        self.same_request(
            &id("pay", n),
            "payment.captured",
            json!({
                "merchant_id": id("mer", 1), "client_id": id("cli", 1), "amount": eur(amount), "fee": eur(fee),
                "fee_version": 1, "final": is_final, "released": eur(released), "settles_on": settles_on.to_string(),
            }),
            json!(postings),
        );
    }

    pub(super) fn decline(&mut self, n: u128, code: &str, edit: impl FnOnce(&mut Value)) {
        let mut data = details(1_000, "automatic");
        data["client_id"] = json!(id("cli", 1));
        data["decline_code"] = json!(code);
        edit(&mut data);
        self.merchant(&id("pay", n), "payment.declined", data, json!([]));
    }

    /// Refunds from what is pending alone.
    pub(super) fn refund(&mut self, n: u128, (amount, returned): (i64, i64)) {
        let mut postings = vec![debit(&pending(), amount - returned), credit(&available(), amount)];
        if returned > 0 {
            postings.insert(0, debit("house:fees", returned));
        }
        self.merchant(
            &id("pay", n),
            "payment.refunded",
            json!({
                "merchant_id": id("mer", 1), "client_id": id("cli", 1), "refund_id": id("ref", self.events.len() as u128),
                "amount": eur(amount), "fee_returned": eur(returned), "drawn": eur(amount - returned), "reason": null,
            }),
            json!(postings),
        );
    }

    /// Adds payments of every kind that a log can have so far.
    pub(super) fn with_payments(mut self) -> Self {
        self.authorize(1, 10_000, "automatic");
        self.capture(1, (10_000, 165, 0), true);
        self.refund(1, (4_000, 66));
        self.refund(1, (6_000, 99));
        self.authorize(2, 5_000, "manual");
        self.requests += 1;
        self.capture(2, (2_000, 53, 0), false);
        self.requests += 1;
        self.capture(2, (1_000, 14, 2_000), true);
        self.authorize(3, 700, "manual");
        self.merchant(
            &id("pay", 3),
            "payment.voided",
            json!({ "merchant_id": id("mer", 1), "client_id": id("cli", 1), "amount": eur(700), "reason": null }),
            json!([debit(&held(), 700), credit(&available(), 700)]),
        );
        self.decline(4, "insufficient_funds", |data| data["amount"] = eur(1_000_000));
        for n in 5..10 {
            self.decline(n, "invalid_cvc", |_| {});
        }
        let data = json!({ "client_id": id("cli", 1), "reason": "too_many_attempts" });
        self.same_request(&id("card", 1), "card.blocked", data, json!([]));
        self.decline(10, "card_blocked", |_| {});
        self
    }

    pub(super) fn rows(&self) -> Vec<LogRow> {
        self.events.iter().map(row).collect()
    }
}

pub(super) fn details(minor: i64, capture: &str) -> Value {
    json!({
        "merchant_id": id("mer", 1), "amount": eur(minor), "capture": capture, "reference": null,
        "description": null, "metadata": null,
        "card": { "id": id("card", 1), "brand": "visa", "last4": "4242", "exp_month": 12, "exp_year": 2030 },
    })
}

pub(super) fn available() -> String {
    format!("client:{}:available", id("cli", 1))
}

pub(super) fn held() -> String {
    format!("client:{}:held", id("cli", 1))
}

pub(super) fn pending() -> String {
    format!("merchant:{}:pending", id("mer", 1))
}

pub(super) fn spelled(micros: i64) -> String {
    DateTime::from_timestamp_micros(micros).unwrap().format("%Y-%m-%dT%H:%M:%S%.6fZ").to_string()
}
