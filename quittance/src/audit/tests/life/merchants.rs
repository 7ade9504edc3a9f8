//! Merchants: settled, paid out, suspended, in debt.

use super::*;

#[test]
fn a_settlement_sums_up_the_captures_that_are_due() {
    for (member, value) in [
        ("count", json!(2)),
        ("gross", eur(10_001)),
        ("fees", eur(166)),
        ("absorbed", eur(1)),
        ("amount", eur(9_834)),
        ("through_day", json!("2026-11-27")),
    ] {
        forge_data("settlement.closed", 0, member, member, value);
    }
    forge_data("settlement.closed", 1, "absorbed", "absorbed", usd(0));
    // A day before that of the captures, and a second time.
    forge_data("settlement.closed", 0, "captures that are due", "through_day", json!("2026-11-25"));
    append(life(), "settlement.closed", 2, "captures that are due", |event| {
        event["stream_id"] = json!(SettlementId::new(uuid(0x300)));
        event["version"] = json!(1);
    });
}

#[test]
fn a_settlement_is_one_event() {
    append(life(), "settlement.closed", 0, "settlement.closed", |_| {});
}

#[test]
fn payouts_stay_within_what_is_available() {
    forge_data("payout.requested", 0, "amount", "amount", eur(100_000));
    forge_data("payout.requested", 0, "amount", "amount", eur(0));
}

#[test]
fn payouts_go_their_way() {
    append(life(), "payout.paid", 0, "status before", |_| {});
    append(life(), "payout.failed", 0, "status before", |_| {});
    append(life(), "payout.returned", 0, "status before", |_| {});
    forge_data("payout.paid", 0, "amount", "amount", eur(1));
    let early = |event: &mut Value| event["type"] = json!("payout.returned");
    forge("payout.paid", 0, "status before", early);
}

#[test]
fn nothing_new_comes_from_a_suspended_merchant() {
    let mut life = life();
    let reinstated = position(&life.events, "merchant.reinstated", 0);
    // Without its reinstatement the merchant is suspended when it is paid again.
    life.events[reinstated - 1]["type"] = json!("merchant.suspended");
    assert_first(&audit_life(&life), reinstated, "status before");
    for kind in ["payment.authorized", "payment.declined", "payout.requested"] {
        let mut life = super::life();
        let first = position(&life.events, kind, 0);
        let mut suspended = life.events[position(&life.events, "merchant.suspended", 0) - 1].clone();
        life.events.truncate(first - 1);
        let at = life.events.len();
        suspended["position"] = json!(at + 1);
        suspended["version"] = json!(
            life.events.iter().filter(|event| event["stream_id"] == suspended["stream_id"]).count() + 1
        );
        suspended["recorded_at"] = life.events[at - 1]["recorded_at"].clone();
        suspended["data"]["reason"] = json!(null);
        let mut event = super::life().events[first - 1].clone();
        event["position"] = json!(at + 2);
        life.events.extend([suspended, event]);
        assert_first(&audit_life(&life), at + 2, "merchant_id");
    }
    append(super::life(), "merchant.reinstated", 0, "status before", |_| {});
}

#[test]
fn only_debts_are_written_off() {
    forge_data("merchant.balance_written_off", 0, "amount", "amount", eur(3_001));
    forge_data("merchant.balance_written_off", 0, "reason", "reason", json!(null));
    forge_data("merchant.deposited", 0, "amount", "amount", eur(0));
}
