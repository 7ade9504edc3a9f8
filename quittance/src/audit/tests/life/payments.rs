//! Payments: rates, legs in the currency that pays, and times.

use super::*;

#[test]
fn legs_in_the_currency_that_pays_are_differences_of_f() {
    // One minor unit more or less on both sides of the exchange balances, and is wrong all the same.
    for (kind, n) in [
        ("payment.authorized", 1),
        ("payment.authorization_incremented", 0),
        ("payment.captured", 1),
        ("payment.captured", 2),
        ("payment.refunded", 0),
        ("payment.dispute_lost", 1),
    ] {
        for by in [-1, 1] {
            forge(kind, n, "postings", |event| {
                let postings = event["postings"].as_array_mut().unwrap();
                let mut changed = BTreeSet::new();
                for posting in postings {
                    for side in ["debit", "credit"] {
                        if posting[side]["currency"] == "EUR" && changed.insert(side) {
                            posting[side]["amount"] = json!(posting[side]["amount"].as_i64().unwrap() + by);
                        }
                    }
                }
                assert_eq!(changed.len(), 2, "{kind}");
            });
        }
    }
}

#[test]
fn the_rate_is_the_one_in_force() {
    let funding = |currency: &str, rate: &str| json!({ "currency": currency, "rate": rate });
    for wrong in [funding("EUR", "1.0850"), funding("JPY", "0.0066"), funding("CHF", "1.2500"), json!(null)] {
        forge_data("payment.authorized", 1, "funding", "funding", wrong);
    }
    forge_data("payment.authorized", 0, "funding", "funding", funding("USD", "1.1"));
    forge_data("payment.authorized", 1, "rate", "funding", funding("EUR", "1.09370000000001"));
    // Expired at the moment of the authorization.
    let mut life = life();
    let authorized = position(&life.events, "payment.authorized", 1);
    let set = position(&life.events, "fx.rate_set", 2);
    life.events[set - 1]["data"]["valid_until"] = life.events[authorized - 1]["recorded_at"].clone();
    assert_first(&audit_life(&life), authorized, "funding");
}

#[test]
fn rates_are_for_their_pair_and_for_later() {
    forge_data("fx.rate_set", 0, "from", "from", json!("GBP"));
    forge_data("fx.rate_set", 0, "to", "to", json!("GBP"));
    forge_data("fx.rate_set", 0, "rate", "rate", json!("0"));
    forge("fx.rate_set", 0, "valid_until", |event| {
        event["data"]["valid_until"] = event["recorded_at"].clone();
    });
}

#[test]
fn authorizations_last_whole_days() {
    forge("payment.authorized", 0, "expires_at", |event| {
        event["data"]["expires_at"] = event["recorded_at"].clone();
    });
    forge_data("payment.authorized", 0, "expires_at", "expires_at", json!("2026-12-01T08:00:00.000000Z"));
}

#[test]
fn increments_come_in_time_and_to_what_is_open() {
    append(life(), "payment.authorization_incremented", 0, "recorded_at", |_| {});
    let mut voided = Life::default();
    voided.open();
    voided.first_day();
    append(voided, "payment.authorization_incremented", 0, "authorization", |_| {});
    forge_data("payment.authorization_incremented", 0, "amount", "amount", usd(0));
}

#[test]
fn a_warning_comes_once_within_a_day_of_the_end() {
    let early = |event: &mut Value| event["recorded_at"] = json!("2026-11-28T08:00:00.000000Z");
    let position_of = |life: &Life| position(&life.events, "payment.authorization_expiring", 0);
    let life_then = life();
    let warned = position_of(&life_then);
    // As if it had been told three days before.
    let mut forged = life();
    early(&mut forged.events[warned - 1]);
    assert_first(&audit_life(&forged), warned, "recorded_at");
    let expires_at = json!("2026-12-09T08:00:00.000000Z");
    forge_data("payment.authorization_expiring", 0, "expires_at", "expires_at", expires_at);
    forge_data("payment.authorization_expiring", 0, "capturable", "capturable", eur(1));
    let mut again = life();
    let mut second = again.events[warned - 1].clone();
    second["version"] = json!(second["version"].as_u64().unwrap() + 1);
    second["event_id"] = json!(EventId::new(uuid(0xffff_0000)));
    again.events.truncate(warned);
    second["position"] = json!(warned + 1);
    again.events.push(second);
    assert_first(&audit_life(&again), warned + 1, "warning");
}

#[test]
fn an_authorization_expires_once_its_time_is_over() {
    forge("payment.expired", 0, "recorded_at", |event| {
        event["recorded_at"] = json!("2026-12-01T08:00:00.000000Z");
    });
    forge_data("payment.expired", 0, "amount", "amount", eur(1_999));
    append(life(), "payment.expired", 0, "amount", |_| {});
    append(life(), "payment.voided", 0, "recorded_at", |_| {});
}

#[test]
fn a_refund_goes_no_lower_than_the_limit() {
    let mut life = life();
    let opened = position(&life.events, "merchant.opened", 0);
    life.events[opened - 1]["data"]["negative_limit"] = json!([]);
    let refund = position(&life.events, "payment.refunded", 1);
    assert_first(&audit_life(&life), refund, "merchant's available balance");
    forge_data("payment.refunded", 0, "drawn", "drawn", usd(1));
    // The fee is kept by then.
    forge_data("payment.refunded", 2, "fee_returned", "fee_returned", usd(1));
}
