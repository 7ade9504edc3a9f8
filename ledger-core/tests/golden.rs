//! The stored form, held byte for byte (I11).
//!
//! `fixtures/<type>.v<schema version>[.<case>].json` holds the canonical text of one event each, exactly
//! as some release wrote it, and `fixtures/leaf-hashes.txt` their leaf hashes. Nothing writes them again:
//! a log that was kept for years has to read like this. A new type or shape adds files; a test that
//! fails here shows a change that would make old logs unreadable, or their hashes wrong.
#![expect(clippy::unwrap_used, reason = "a fixture that can't be read has to stop the test")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;

use ledger_core::event::{DecodeError, Reversed};
use ledger_core::ids::EventId;
use ledger_core::personal::{Reason, Reference, Sealed, SecretKey};
use ledger_core::reconciliation::item::reference_field;
use ledger_core::reconciliation::movement::Expected;
use ledger_core::{Envelope, Event, LeafHash};
use serde_json::{Value, json};

/// The key that all personal fields of the fixtures are sealed under.
const SUBJECT_KEY: [u8; 32] = [42; 32];

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fixtures")
}

/// All fixtures: file name and exact bytes.
fn fixtures() -> BTreeMap<String, String> {
    let files = fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path());
    files
        .filter(|path| path.extension().is_some_and(|extension| extension == "json"))
        .map(|path| {
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            (name, fs::read_to_string(path).unwrap())
        })
        .collect()
}

fn fixture(name: &str) -> String {
    fs::read_to_string(folder().join(name)).unwrap()
}

/// Reads a fixture after a change to its JSON.
fn parse_with(name: &str, change: impl FnOnce(&mut Value)) -> Result<Envelope, DecodeError> {
    let mut value = serde_json::from_str(&fixture(name)).unwrap();
    change(&mut value);
    Envelope::parse(&value.to_string())
}

fn is_malformed(result: &Result<Envelope, DecodeError>) -> bool {
    matches!(result, Err(DecodeError::Malformed(_)))
}

fn is_unknown(result: &Result<Envelope, DecodeError>) -> bool {
    matches!(result, Err(DecodeError::Unknown))
}

/// What an older version's text is in today's shape: an older shape's event is read as if it had been
/// written today. Nothing is ever written again; its leaf hash stays that of its own text.
fn in_todays_shape(text: &str) -> String {
    let mut value: Value = serde_json::from_str(text).unwrap();
    if value["type"] == "payment.authorized" && value["schema_version"] == 1 {
        // Before there were rates, a payment was always paid in its own currency.
        value["schema_version"] = json!(2);
        value["data"]["funding"] = Value::Null;
    }
    serde_json_canonicalizer::to_string(&value).unwrap()
}

#[test]
fn every_fixture_reads_back_to_the_same_bytes() {
    let mut older = Vec::new();
    for (name, text) in fixtures() {
        let envelope = Envelope::parse(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
        let today = in_todays_shape(&text);
        assert_eq!(envelope.canonical().unwrap(), today, "{name}");
        if today != text {
            older.push(name);
        }
    }
    assert_eq!(older, ["payment.authorized.v1.bare.json", "payment.authorized.v1.json"]);
}

#[test]
fn a_payment_of_the_first_version_is_paid_in_its_own_currency() {
    for name in ["payment.authorized.v1.json", "payment.authorized.v1.bare.json"] {
        let Event::PaymentAuthorized(authorized) = Envelope::parse(&fixture(name)).unwrap().draft.event
        else {
            panic!("{name}")
        };
        assert_eq!(authorized.funding, None, "{name}");
    }
    let funded = fixture("payment.authorized.v2.funded.json");
    let Event::PaymentAuthorized(authorized) = Envelope::parse(&funded).unwrap().draft.event else {
        panic!()
    };
    let funding = authorized.funding.unwrap();
    assert_eq!((funding.currency.code(), funding.rate.to_string().as_str()), ("EUR", "160.0500"));
    assert_eq!(
        (authorized.details.amount.amount, authorized.details.amount.currency.code()),
        (20_000, "JPY")
    );
}

#[test]
fn every_fixture_is_in_the_form_of_rfc_8785() {
    for (name, text) in fixtures() {
        let value: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(serde_json_canonicalizer::to_string(&value).unwrap(), text, "{name}");
    }
}

#[test]
fn the_leaf_hashes_are_frozen() {
    let table = fixture("leaf-hashes.txt");
    let frozen: BTreeMap<_, _> = table
        .lines()
        .map(|line| line.split_once("  ").unwrap())
        .map(|(hash, name)| (name.to_owned(), hash.parse::<LeafHash>().unwrap()))
        .collect();
    assert_eq!(frozen.len(), table.lines().count(), "a file stands there twice");
    let found: BTreeMap<_, _> =
        fixtures().into_iter().map(|(name, text)| (name, LeafHash::of(&text))).collect();
    assert_eq!(found, frozen);
}

#[test]
fn a_fixture_is_named_by_its_type_and_version() {
    for (name, text) in fixtures() {
        let value: Value = serde_json::from_str(&text).unwrap();
        let prefix = format!("{}.v{}.", value["type"].as_str().unwrap(), value["schema_version"]);
        assert!(name.starts_with(&prefix), "{name}");
    }
}

#[test]
fn every_type_has_a_fixture_of_every_version() {
    // serde names all variants of the enum when it meets one that it does not know.
    let error =
        serde_json::from_value::<Event>(json!({ "type": "?", "data": null })).unwrap_err().to_string();
    let types: BTreeSet<_> = error.split('`').skip(3).step_by(2).collect();
    assert!(types.contains("client.opened") && types.contains("payment.refunded"), "{error}");
    let fixtures = fixtures();
    for name in types {
        let text = fixtures.get(&format!("{name}.v1.json")).unwrap_or_else(|| panic!("no fixture of {name}"));
        let newest = Envelope::parse(text).unwrap().event().schema_version();
        for version in 1..=newest {
            assert!(fixtures.contains_key(&format!("{name}.v{version}.json")), "{name} version {version}");
        }
    }
}

#[test]
fn optional_parts_stand_there_as_null() {
    for (name, nulls) in [
        ("client.opened.v1.bare.json", ["/data/email", "/data/metadata"].as_slice()),
        ("client.deposited.v1.bare.json", &["/data/reference"]),
        ("client.withdrawn.v1.bare.json", &["/data/reference"]),
        ("card.blocked.v1.bare.json", &["/data/reason"]),
        ("card.unblocked.v1.bare.json", &["/data/reason"]),
        ("merchant.opened.v1.bare.json", &["/data/metadata"]),
        ("api_key.created.v1.operator.json", &["/data/merchant_id", "/request_id"]),
        ("payment.authorized.v1.bare.json", &["/data/reference", "/data/description", "/data/metadata"]),
        (
            "payment.declined.v1.unknown_card.json",
            &["/data/client_id", "/data/card/id", "/data/card/brand", "/data/reference"],
        ),
        ("payment.authorized.v2.funded.json", &["/data/reference", "/data/description", "/data/metadata"]),
        ("payment.authorized.v2.json", &["/data/funding"]),
        ("payment.voided.v1.bare.json", &["/data/reason"]),
        ("payment.refunded.v1.json", &["/data/reason"]),
        ("payment.expired.v1.json", &["/request_id"]),
        ("payment.dispute_won.v1.json", &["/data/reason"]),
        ("payment.dispute_lost.v1.decided.json", &["/data/reason"]),
        ("payment.dispute_lost.v1.json", &["/request_id"]),
        ("payment.dispute_reopened.v1.bare.json", &["/data/reason"]),
        ("settlement.closed.v1.json", &["/request_id"]),
        ("payout.requested.v1.bare.json", &["/data/reference"]),
        ("payout.paid.v1.json", &["/data/reason"]),
        ("merchant.suspended.v1.bare.json", &["/data/reason"]),
        ("merchant.reinstated.v1.bare.json", &["/data/reason"]),
        ("merchant.deposited.v1.bare.json", &["/data/reference"]),
        ("client.closed.v1.bare.json", &["/data/reason"]),
        ("journal.corrected.v1.json", &["/data/dispute"]),
        ("journal.corrected.v1.payout.json", &["/data/dispute"]),
        (
            "reconciliation.items.v1.json",
            &["/data/items/0/movement", "/data/items/0/line/reference", "/data/items/1/line"],
        ),
    ] {
        let value: Value = serde_json::from_str(&fixture(name)).unwrap();
        for pointer in nulls {
            assert_eq!(value.pointer(pointer), Some(&Value::Null), "{name} {pointer}");
        }
    }
}

#[test]
fn personal_fields_open_with_their_key() {
    let open = |sealed: &Sealed, event: EventId, field: &str| {
        sealed.open(&SecretKey::new(SUBJECT_KEY), event, field).unwrap()
    };
    for (name, fields) in [
        (
            "client.opened.v1.json",
            [
                ("name", json!("Ada Lovelace")),
                ("email", json!("ada@example.org")),
                ("metadata", json!({ "tier": "gold" })),
            ]
            .as_slice(),
        ),
        ("client.opened.v1.bare.json", &[("name", json!("Li"))]),
        ("client.deposited.v1.json", &[("reference", json!("salary November"))]),
        ("client.withdrawn.v1.json", &[("reference", json!("rent"))]),
        ("card.blocked.v1.person.json", &[("reason", json!("lost on the tram"))]),
        (
            "payment.authorized.v1.json",
            &[("description", json!("a loaf of bread")), ("metadata", json!({ "order": "A-17" }))],
        ),
        ("payment.voided.v1.json", &[("reason", json!("sold out"))]),
        ("payment.refunded.v1.kept.json", &[("reason", json!("broken"))]),
        (
            "payment.authorized.v2.json",
            &[("description", json!("a hat")), ("metadata", json!({ "order": "B-3" }))],
        ),
        ("payment.refunded.v1.funded.json", &[("reason", json!("too tight"))]),
        ("payment.disputed.v1.json", &[("reason", json!("never came"))]),
        ("payment.dispute_evidence_submitted.v1.json", &[("text", json!("signed for by Lovelace"))]),
        ("payment.dispute_reopened.v1.json", &[("reason", json!("forged signature"))]),
        ("payout.failed.v1.json", &[("reason", json!("wrong account number"))]),
        ("payout.returned.v1.json", &[("reason", json!("account closed"))]),
        ("merchant.suspended.v1.json", &[("reason", json!("too many disputes"))]),
        ("merchant.reinstated.v1.json", &[("reason", json!("paid up"))]),
        ("merchant.deposited.v1.json", &[("reference", json!("debt of December"))]),
        ("merchant.balance_written_off.v1.json", &[("reason", json!("insolvent"))]),
        ("client.closed.v1.json", &[("reason", json!("moved abroad"))]),
        ("correction.requested.v1.json", &[("reason", json!("typed a zero too many"))]),
        ("correction.requested.v1.dispute.json", &[("reason", json!("the wrong Größe of dispute"))]),
    ] {
        let value: Value = serde_json::from_str(&fixture(name)).unwrap();
        let event = value["event_id"].as_str().unwrap().parse().unwrap();
        for (field, plain) in fields {
            let sealed = serde_json::from_value(value["data"][field].clone()).unwrap();
            assert_eq!(&open(&sealed, event, field), plain, "{name} {field}");
        }
    }
}

#[test]
fn a_statements_lines_open_each_by_itself_and_movements_as_in_their_own_events() {
    let items = fixture("reconciliation.items.v1.json");
    let envelope = Envelope::parse(&items).unwrap();
    let Event::ReconciliationItems(found) = envelope.event() else { panic!() };
    let key = SecretKey::new(SUBJECT_KEY);
    let lines: Vec<_> = found
        .items
        .iter()
        .filter_map(|item| {
            let line = item.line.as_ref()?;
            let sealed = line.reference.as_ref()?;
            Some((line.number, sealed.open(&key, envelope.draft.event_id, &reference_field(line.number))))
        })
        .collect();
    assert_eq!(
        lines,
        [
            (2, Some(json!("po_019ab4f01c0070008000900100009001"))),
            (3, Some(json!("SALARY NOVEMBER"))),
            (1, Some(json!("SALARY NOVEMBER"))),
        ]
    );
    let [_, _, payout, _, deposit] = found.items.as_slice() else { panic!() };
    assert_eq!(payout.movement.as_ref().unwrap().reference, Some(Reference::Clear("week 48".to_owned())));
    let deposit = deposit.movement.as_ref().unwrap();
    let Some(Reference::Person(sealed)) = &deposit.reference else { panic!() };
    assert_eq!(sealed.open(&key, deposit.event_id, "reference"), Some(json!("salary November")));
    let deposited = Envelope::parse(&fixture("client.deposited.v1.json")).unwrap();
    let Event::ClientDeposited(moved) = deposited.event() else { panic!() };
    assert_eq!((deposit.event_id, moved.reference.as_ref()), (deposited.draft.event_id, Some(sealed)));
}

#[test]
fn a_run_has_the_names_that_are_stored() {
    let stored = |name: &str| serde_json::from_str::<Value>(&fixture(name)).unwrap()["data"].clone();
    let event = |name: &str| Envelope::parse(&fixture(name)).unwrap().draft.event;
    let Event::ReconciliationRun(run) = event("reconciliation.run.v1.json") else { panic!() };
    let data = stored("reconciliation.run.v1.json");
    assert_eq!(
        (json!(run.format.name()), json!(format!("{:?}", run.file_hash))),
        (data["format"].clone(), data["file_hash"].clone())
    );
    let Event::ReconciliationItems(more) = event("reconciliation.items.v1.json") else { panic!() };
    let data = stored("reconciliation.items.v1.json");
    for (item, stored) in more.items.iter().zip(data["items"].as_array().unwrap()) {
        assert_eq!(json!(item.result.name()), stored["result"]);
        let direction = item.line.as_ref().map(|line| line.direction.name());
        assert_eq!(json!(direction), stored["line"].get("direction").cloned().unwrap_or_default());
    }
    // A payout is known by its id, which the bank is given, and by what the merchant calls it.
    let movements = more.items.into_iter().filter_map(|item| item.movement);
    let payout = movements.into_iter().find(|movement| movement.kind.name() == "payout.paid").unwrap();
    let id = payout.stream_id.to_string();
    assert_eq!(Expected::of(payout, Some("week 48".to_owned())).references, [id, "week 48".to_owned()]);
}

#[test]
fn a_machines_reason_is_in_clear_and_a_persons_is_not() {
    let reason = |name: &str| match Envelope::parse(&fixture(name)).unwrap().draft.event {
        Event::CardBlocked(because) => because.reason,
        _ => panic!("{name}"),
    };
    assert_eq!(reason("card.blocked.v1.json"), Some(Reason::Machine("too_many_attempts".to_owned())));
    assert!(matches!(reason("card.blocked.v1.person.json"), Some(Reason::Person(_))));
    assert_eq!(reason("card.blocked.v1.bare.json"), None);
    let lost = |name: &str| match Envelope::parse(&fixture(name)).unwrap().draft.event {
        Event::PaymentDisputeLost(decided) => decided.reason,
        _ => panic!("{name}"),
    };
    assert_eq!(lost("payment.dispute_lost.v1.json"), Some(Reason::Machine("no_response".to_owned())));
    assert_eq!(lost("payment.dispute_lost.v1.decided.json"), None);
}

#[test]
fn no_personal_data_and_no_secret_is_in_clear() {
    for (name, text) in fixtures() {
        for word in [
            "Ada",
            "example.org",
            "salary",
            "tram",
            "loaf",
            "A-17",
            "sold out",
            "cvc\"",
            "secret",
            "a hat",
            "too tight",
            "never came",
            "Lovelace",
            "forged",
            "wrong account",
            "too many disputes",
            "paid up",
            "December",
            "insolvent",
            "abroad",
            "zero too many",
            "wrong Größe",
            "SALARY",
        ] {
            assert!(!text.contains(word), "{name}: {word}");
        }
    }
}

#[test]
fn the_leaf_hash_is_that_of_rfc_6962() {
    // SHA-256 of one zero byte.
    let empty = "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d";
    assert_eq!(format!("{0} {0:?}", LeafHash::of("")), format!("{empty} {empty}"));
    assert_eq!(empty.parse(), Ok(LeafHash::of("")));
    assert!(empty[1..].parse::<LeafHash>().is_err() && "g".repeat(64).parse::<LeafHash>().is_err());
}

#[test]
fn a_correction_mirrors_what_it_reverses() {
    for (mirror, reversed) in [
        ("journal.corrected.v1.json", "client.deposited.v1.json"),
        ("journal.corrected.v1.dispute.json", "payment.dispute_lost.v1.json"),
        ("journal.corrected.v1.payout.json", "payout.paid.v1.json"),
    ] {
        let [mirror, reversed] = [mirror, reversed].map(|name| Envelope::parse(&fixture(name)).unwrap());
        assert_eq!(mirror.draft.postings, reversed.draft.postings.mirrored());
        let Event::JournalCorrected(of) = mirror.event() else { panic!() };
        assert_eq!(
            (of.reverses, Some(of.reversed)),
            (reversed.draft.event_id, Reversed::of(reversed.event()))
        );
        assert_eq!(mirror.stream_id(), reversed.stream_id());
    }
}

#[test]
fn what_can_be_corrected_keeps_its_name() {
    let mut names = BTreeSet::new();
    for (name, text) in fixtures() {
        let envelope = Envelope::parse(&text).unwrap();
        if let Some(reversed) = Reversed::of(envelope.event()) {
            assert_eq!(reversed.type_name(), envelope.event().type_name(), "{name}");
            names.insert(reversed.type_name());
        }
    }
    assert_eq!(names.len(), 5, "{names:?}");
}

#[test]
fn a_later_version_or_type_is_refused_as_unknown() {
    for (name, text) in fixtures() {
        let newest = Envelope::parse(&text).unwrap().event().schema_version();
        for version in [0, newest + 1, u32::MAX] {
            let result = parse_with(&name, |event| event["schema_version"] = json!(version));
            assert!(is_unknown(&result), "{name} {version}: {result:?}");
        }
        let result = parse_with(&name, |event| event["type"] = json!("payment.teleported"));
        assert!(is_unknown(&result), "{name}: {result:?}");
    }
}

#[test]
fn the_data_of_another_type_is_refused() {
    let result = parse_with("payment.captured.v1.json", |event| event["type"] = json!("payment.refunded"));
    assert!(is_malformed(&result), "{result:?}");
}

#[test]
fn unbalanced_postings_are_refused() {
    let changes: [fn(&mut Value); 7] = [
        |postings| postings[0]["debit"]["amount"] = json!(99_999),
        |postings| postings[1]["credit"]["currency"] = json!("USD"),
        |postings| drop(postings.as_array_mut().unwrap().pop()),
        |postings| postings[1] = postings[0].clone(),
        |postings| {
            for (place, side) in [(0, "debit"), (1, "credit")] {
                postings[place][side]["amount"] = json!(0);
            }
        },
        |postings| {
            for (place, side) in [(0, "debit"), (1, "credit")] {
                postings[place][side]["amount"] = json!(-100_000);
            }
        },
        |postings| {
            let line = postings[0].clone();
            postings.as_array_mut().unwrap().push(line);
        },
    ];
    for (number, change) in changes.into_iter().enumerate() {
        let result = parse_with("client.deposited.v1.json", |event| change(&mut event["postings"]));
        assert!(is_malformed(&result), "{number}: {result:?}");
    }
}

#[test]
fn amounts_are_whole_numbers() {
    for amount in [json!(100_000.5), json!(1e5), json!("100000"), json!(null), json!(1_u64 << 63)] {
        let result = parse_with("client.deposited.v1.json", |event| {
            event["data"]["amount"]["amount"] = amount.clone();
        });
        assert!(is_malformed(&result), "{amount}: {result:?}");
    }
}

#[test]
fn an_envelope_has_exactly_the_fields_of_the_contract() {
    let name = "payment.authorized.v1.json";
    let Value::Object(fields) = serde_json::from_str(&fixture(name)).unwrap() else { panic!() };
    let names: Vec<_> = fields.keys().map(String::as_str).collect();
    assert_eq!(
        names,
        [
            "actor",
            "data",
            "event_id",
            "position",
            "postings",
            "recorded_at",
            "request_id",
            "schema_version",
            "stream_id",
            "type",
            "version"
        ]
    );
    for field in names.iter().filter(|field| **field != "request_id") {
        let result = parse_with(name, |event| drop(event.as_object_mut().unwrap().remove(*field)));
        assert!(is_malformed(&result), "without {field}: {result:?}");
    }
    let result = parse_with(name, |event| event["colour"] = json!("red"));
    assert!(is_malformed(&result), "{result:?}");
    assert!(is_malformed(&Envelope::parse("")) && is_malformed(&Envelope::parse("[]")));
}

#[test]
fn ids_and_moments_are_read_strictly() {
    let name = "payment.authorized.v1.json";
    for (pointer, wrong) in [
        ("/event_id", json!("pay_019ab4f01c0070008000002100000021")),
        ("/stream_id", json!("pay_019AB4F01C0070008000400100004001")),
        ("/recorded_at", json!("yesterday")),
        ("/position", json!(-1)),
        ("/data/client_id", json!("mer_019ab4f01c0070008000100100001001")),
        ("/data/card/brand", json!("bank")),
        ("/data/capture", json!("later")),
        ("/postings/0/account", json!("house:cellar")),
    ] {
        let result = parse_with(name, |event| *event.pointer_mut(pointer).unwrap() = wrong);
        assert!(is_malformed(&result), "{pointer}: {result:?}");
    }
}
