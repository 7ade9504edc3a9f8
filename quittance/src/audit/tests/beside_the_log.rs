//! What stands beside the log: the keys of personal fields, the outcomes of requests.

use super::*;

#[test]
fn sealed_fields_open_for_their_subject() {
    let report = with_event(2, |event| event["data"]["name"]["box"] = json!("AAAA"));
    assert_first(&report, 2, "box of name");
    let report = with_event(2, |event| event["data"]["name"]["subject"] = json!(id("cli", 2)));
    assert_first(&report, 2, "subject of name");
    let rows = Script::new().rows();
    let report = audit(&rows, &outcomes(&rows), Vault::new(Some(master())));
    assert_first(&report, 2, "subject_keys row for name");
    assert!(!report.to_string().contains("Ada"), "{report}");
}

#[test]
fn keys_of_subjects_that_the_log_does_not_know_are_named() {
    let mut vault = vault(None);
    let stranger = id("cli", 9).parse().unwrap();
    vault.wrapped.insert(stranger, Vec::new());
    let rows = Script::new().rows();
    let report = audit(&rows, &outcomes(&rows), vault);
    let place = Place::Row { table: "subject_keys".into(), key: format!("subject {stranger}") };
    assert_eq!(report.findings.iter().map(|finding| &finding.place).collect::<Vec<_>>(), [&place]);
}

#[test]
fn every_request_has_its_outcome() {
    let rows = Script::new().with_payments().rows();
    let capture = positions("payment.captured")[0];
    let without = |position: usize| {
        let mut kept = outcomes(&rows);
        kept.retain(|outcome| outcome.position != position as i64);
        audit(&rows, &kept, vault(None))
    };
    assert_first(&without(capture), capture, "outcome of the request");
    assert_first(&without(rows.len()), rows.len(), "outcome of the request");
}

#[test]
fn outcomes_fit_the_log() {
    let rows = Script::new().with_payments().rows();
    for (edit, what) in [
        ((|outcome: &mut OutcomeRow| outcome.status = 500) as fn(&mut OutcomeRow), "status"),
        (|outcome| outcome.position = 1_000, "position"),
        (|outcome| outcome.answer = "[]".into(), "answer"),
        (
            |outcome| {
                outcome.answer = json!({ "id": id("pay", 99), "position": outcome.position }).to_string();
            },
            "answer",
        ),
        (|outcome| outcome.answer = json!({ "id": null, "cvc": "123" }).to_string(), "secrets in the answer"),
    ] {
        let mut kept = outcomes(&rows);
        edit(&mut kept[3]);
        let report = audit(&rows, &kept, vault(None));
        let place = Place::Row { table: "outcomes".into(), key: format!("key {}", kept[3].key) };
        assert!(
            report.findings.iter().any(|finding| finding.place == place && finding.what == what),
            "{report}"
        );
        assert!(!report.to_string().contains("123\""), "{report}");
    }
}
