//! What events of every type have in common.

use super::*;

/// Every type but those of corrections, each of which [`life`] holds.
const TYPES: [&str; 36] = [
    "api_key.created",
    "api_key.revoked",
    "card.blocked",
    "card.issued",
    "card.unblocked",
    "client.closed",
    "client.deposited",
    "client.opened",
    "client.withdrawn",
    "fx.rate_set",
    "merchant.balance_written_off",
    "merchant.deposited",
    "merchant.opened",
    "merchant.reinstated",
    "merchant.settings_changed",
    "merchant.suspended",
    "payment.authorization_expiring",
    "payment.authorization_incremented",
    "payment.authorized",
    "payment.captured",
    "payment.declined",
    "payment.dispute_evidence_submitted",
    "payment.dispute_lost",
    "payment.dispute_reopened",
    "payment.dispute_won",
    "payment.disputed",
    "payment.expired",
    "payment.refunded",
    "payment.voided",
    "payout.failed",
    "payout.paid",
    "payout.requested",
    "payout.returned",
    "reconciliation.items",
    "reconciliation.run",
    "settlement.closed",
];

#[test]
fn every_type_of_event_holds() {
    let life = life();
    let report = audit_life(&life);
    assert!(report.holds(), "{report}");
    let types: BTreeSet<&str> = life.events.iter().filter_map(|event| event["type"].as_str()).collect();
    assert_eq!(types, TYPES.into());
}

#[test]
fn data_has_exactly_its_members() {
    for kind in TYPES {
        forge(kind, 0, "data", |event| event["data"]["note"] = json!(null));
    }
}

#[test]
fn schema_versions_are_those_of_the_type() {
    forge("payment.authorized", 0, "type", |event| event["schema_version"] = json!(3));
    forge("payment.authorized", 0, "data", |event| event["schema_version"] = json!(1));
    forge("payout.requested", 0, "type", |event| event["schema_version"] = json!(2));
}

#[test]
fn every_entry_is_that_of_the_table() {
    let moving = life().events;
    let kinds: BTreeSet<&str> = moving
        .iter()
        .filter(|event| event["postings"] != json!([]))
        .filter_map(|event| event["type"].as_str())
        .collect();
    assert_eq!(kinds.len(), 19);
    for kind in kinds {
        forge(kind, 0, "postings", |event| {
            let posting = event["postings"][0].as_object_mut().unwrap();
            let account = if posting["account"] == "house:bank" { "house:fx" } else { "house:bank" };
            posting.insert("account".to_owned(), json!(account));
        });
    }
}
