//! Lives in which something was noted by mistake, and corrected.

use super::*;
use ledger_core::event::Event;
use ledger_core::time::Day;

/// The types that only a corrected life holds.
const TYPES: [&str; 3] = ["correction.approved", "correction.requested", "journal.corrected"];

impl Life {
    /// Creates key 4, another operator's.
    pub(super) fn second_operator(&mut self) {
        let create = CreateKey { id: key(4), role: Role::Operator, merchant_id: None, secret_hash: [0; 32] };
        self.run(Operator, 1, Command::CreateKey(create));
    }

    /// Asks for the correction of an event, for a day.
    pub(super) fn request(&self, id: CorrectionId, of: &Value, effective_date: Day) -> Command {
        let reversed = Box::new(Envelope::parse(&of.to_string()).unwrap());
        let subject = match (reversed.stream_id(), reversed.event()) {
            (StreamId::Client(_), _) => reversed.stream_id(),
            (_, Event::PaymentDisputeLost(lost)) => StreamId::Client(lost.client_id),
            _ => StreamId::Correction(id),
        };
        let reason = self.seal(subject, "reason");
        Command::RequestCorrection(RequestCorrection { id, reversed, effective_date, reason })
    }

    /// Corrects the last event of a type.
    pub(super) fn correct(&mut self, n: u128, kind: &str) {
        let of = self.events.iter().rfind(|event| event["type"] == kind).unwrap().clone();
        let request = self.request(correction(n), &of, self.now().day());
        self.run(Operator, 1, request);
        self.run(Second, 2, approve(correction(n), &of, 4));
    }
}

/// Approves the correction of an event with a key.
pub(super) fn approve(id: CorrectionId, of: &Value, by: u128) -> Command {
    let reversed = Box::new(Envelope::parse(&of.to_string()).unwrap());
    Command::ApproveCorrection(ApproveCorrection { id, reversed, by: key(by) })
}

fn correction(n: u128) -> CorrectionId {
    CorrectionId::new(uuid(n))
}

/// A life in which an event of every type that is corrected is.
fn corrected() -> Life {
    let mut life = Life::default();
    life.open();
    life.second_operator();
    life.pay(2, money(4_001, "USD"), |_| {});
    life.dispute(2, 2, money(1_507, "USD"));
    life.evidence(2, 2);
    life.run(Operator, 1, Command::LoseDispute(dispute_of(2, 2)));
    life.refund(1, 2, money(777, "USD"));
    // 1: under review again, and then won.
    life.correct(1, "payment.dispute_lost");
    life.run(Operator, 1, Command::WinDispute(dispute_of(2, 2)));
    life.refund(2, 2, money(3_224, "USD"));
    life.pay(1, money(10_000, "EUR"), |_| {});
    life.dispute(1, 1, money(3_000, "EUR"));
    life.run(Operator, 1, Command::LoseDispute(dispute_of(1, 1)));
    // 2: waits for its merchant again.
    life.correct(2, "payment.dispute_lost");
    life.deposit(2, money(700, "EUR"));
    life.correct(3, "client.deposited");
    life.withdraw(1, money(300, "EUR"));
    life.correct(4, "client.withdrawn");
    life.days_later(2);
    life.settle(System, 0x100, 2);
    let reference = Some(life.seal(StreamId::Merchant(merchant(1)), "reference"));
    let deposit = DepositToMerchant { id: merchant(1), amount: money(400, "EUR"), reference };
    life.run(Operator, 1, Command::DepositToMerchant(deposit));
    life.correct(5, "merchant.deposited");
    life.payout(1, money(2_000, "EUR"));
    life.news(1, PayoutNews::Paid);
    life.correct(6, "payout.paid");
    life.payout(2, money(100, "EUR"));
    life.news(2, PayoutNews::Paid);
    // 7: only asked for.
    let paid = life.events.last().unwrap().clone();
    let request = life.request(correction(7), &paid, life.now().day());
    life.run(Operator, 1, request);
    life
}

/// Changes the `n`th event of a type, which must then be the first that is told, for this.
#[track_caller]
fn forge(kind: &str, n: usize, what: &str, edit: impl FnOnce(&mut Value)) {
    forge_in(corrected(), kind, n, what, edit);
}

/// Changes a member of the `n`th event's data.
#[track_caller]
fn forge_data(kind: &str, n: usize, what: &str, member: &str, value: Value) {
    forge(kind, n, what, |event| event["data"][member] = value);
}

#[test]
fn every_correction_holds() {
    let life = corrected();
    let report = audit_life(&life);
    assert!(report.holds(), "{report}");
    assert_eq!(wrong_write_side(&life, |_| {}), Vec::<&str>::new());
    let types: BTreeSet<&str> = life.events.iter().filter_map(|event| event["type"].as_str()).collect();
    assert!(TYPES.iter().all(|kind| types.contains(kind)));
    for kind in TYPES {
        forge(kind, 0, "data", |event| event["data"]["note"] = json!(null));
    }
}

#[test]
fn a_correction_is_of_what_happened() {
    forge_data("correction.requested", 0, "reverses", "reverses", json!(EventId::new(uuid(0xffff_0000))));
    forge_data("correction.requested", 0, "reverses_position", "reverses_position", json!(1));
    forge_data("correction.requested", 0, "reverses_stream", "reverses_stream", json!(payment(1)));
    forge_data("correction.requested", 0, "reverses_type", "reverses_type", json!("payment.disputed"));
    forge_data("correction.requested", 0, "amount", "amount", usd(1_506));
    forge_data("correction.requested", 0, "dispute_id", "dispute_id", json!(DisputeId::new(uuid(1))));
    forge_data("correction.requested", 0, "reason", "reason", json!(null));
    for day in ["2026-11-23", "2026-11-25"] {
        forge_data("correction.requested", 0, "effective_date", "effective_date", json!(day));
    }
    // An event of a type that is not corrected.
    let opened =
        corrected().events.iter().find(|event| event["type"] == "client.opened").unwrap()["event_id"].clone();
    forge_data("correction.requested", 0, "reverses", "reverses", opened);
}

#[test]
fn it_takes_two_keys() {
    forge("correction.approved", 0, "actor", |event| event["actor"] = json!(key(1)));
    // Operators'.
    for kind in ["correction.approved", "correction.requested"] {
        forge(kind, 0, "actor", |event| event["actor"] = json!(key(2)));
    }
    forge("journal.corrected", 0, "what follows the event before", |event| event["actor"] = json!(key(1)));
}

#[test]
fn an_event_is_mirrored_exactly() {
    for (n, member, value) in [
        (0, "amount", usd(1_506)),
        (0, "dispute_id", json!(DisputeId::new(uuid(1)))),
        (5, "merchant_id", json!(merchant(2))),
        (2, "reverses_type", json!("client.withdrawn")),
        (2, "effective_date", json!("2026-11-23")),
        (2, "correction_id", json!(correction(2))),
        (2, "dispute", json!({ "status": "under_review", "respond_by": "2026-12-08T08:00:00.000000Z" })),
        (0, "dispute", json!(null)),
    ] {
        forge_data("journal.corrected", n, member, member, value);
    }
    for n in 0..6 {
        forge("journal.corrected", n, "postings", |event| event["postings"] = json!([]));
        // Both sides by one.
        forge("journal.corrected", n, "postings", |event| {
            let postings = event["postings"].as_array_mut().unwrap();
            let mut changed = BTreeSet::new();
            let currency = postings[0]["debit"]["currency"].clone();
            for posting in postings {
                for side in ["debit", "credit"] {
                    if posting[side]["currency"] == currency && changed.insert(side) {
                        posting[side]["amount"] = json!(posting[side]["amount"].as_i64().unwrap() + 1);
                    }
                }
            }
        });
    }
}

#[test]
fn a_dispute_resumes_where_it_stood() {
    let resumed = |n: usize| {
        let life = corrected();
        life.events[position(&life.events, "journal.corrected", n) - 1]["data"]["dispute"].clone()
    };
    assert_eq!(
        (&resumed(0)["status"], &resumed(1)["status"]),
        (&json!("under_review"), &json!("needs_response"))
    );
    for (n, other) in [(0, "needs_response"), (1, "under_review")] {
        forge("journal.corrected", n, "status", |event| event["data"]["dispute"]["status"] = json!(other));
        forge("journal.corrected", n, "respond_by", |event| {
            event["data"]["dispute"]["respond_by"] = json!("2026-12-09T08:00:00.000000Z");
        });
    }
}

#[test]
fn an_approval_corrects_and_nothing_else_does() {
    let at = |kind| position(&corrected().events, kind, 0);
    // The approval without the correction of the journal.
    let mut life = corrected();
    let mirror = at("journal.corrected");
    life.events[mirror - 1] = {
        let mut other = life.events[mirror].clone();
        other["position"] = json!(mirror);
        other
    };
    life.events.truncate(mirror);
    assert_first(&audit_life(&life), mirror, "what follows the event before");
    // The correction of the journal once more.
    append(corrected(), "journal.corrected", 3, "correction_id", |_| {});
    append(corrected(), "correction.approved", 0, "correction", |event| event["actor"] = json!(key(4)));
}

#[test]
fn what_a_merchant_gave_away_is_not_taken_back() {
    let mut life = corrected();
    // As if it had been paid 400 EUR more before.
    let deposited = position(&life.events, "merchant.deposited", 0);
    let mirror = position(&life.events, "journal.corrected", 4);
    for (at, debit) in [(deposited, "house:bank"), (mirror, "merchant")] {
        let event = &mut life.events[at - 1];
        event["data"]["amount"] = eur(40_000);
        assert!(event["postings"][0]["account"].as_str().unwrap().starts_with(debit));
        event["postings"][0]["debit"] = eur(40_000);
        event["postings"][1]["credit"] = eur(40_000);
    }
    let request = position(&life.events, "correction.requested", 4);
    life.events[request - 1]["data"]["amount"] = eur(40_000);
    assert!(audit_life(&life).holds());
    // Of which it has paid out a part in between.
    let mut payout = corrected().events[position(&life.events, "payout.requested", 0) - 1].clone();
    payout["stream_id"] = json!(PayoutId::new(uuid(9)));
    payout["event_id"] = json!(EventId::new(uuid(0xffff_0000)));
    payout["data"]["amount"] = eur(10_000);
    payout["postings"][0]["debit"] = eur(10_000);
    payout["postings"][1]["credit"] = eur(10_000);
    payout["recorded_at"] = life.events[request - 1]["recorded_at"].clone();
    payout["request_id"] = json!("another");
    life.events.insert(request, payout);
    for (at, event) in life.events.iter_mut().enumerate() {
        event["position"] = json!(at + 1);
    }
    life.events.truncate(mirror + 1);
    assert_first(&audit_life(&life), mirror + 1, "amount");
}

#[test]
fn a_payout_that_came_back_was_paid() {
    let mut life = corrected();
    let returned = ChangePayout { id: PayoutId::new(uuid(2)), news: PayoutNews::Returned, reason: None };
    life.run(Operator, 1, Command::ChangePayout(returned));
    // The approval that the ledger would refuse.
    let paid = position(&life.events, "payout.paid", 1);
    let (mut approved, mut mirror) = {
        let of = |kind| life.events[position(&life.events, kind, 5) - 1].clone();
        (of("correction.approved"), of("journal.corrected"))
    };
    let (at, now) = (life.events.len(), json!(life.now()));
    let paid = life.events[paid - 1].clone();
    for (event, position, id) in [(&mut approved, at + 1, 0), (&mut mirror, at + 2, 1)] {
        event["position"] = json!(position);
        event["event_id"] = json!(EventId::new(uuid(0xffff_0000 + id)));
        event["recorded_at"] = now.clone();
        event["request_id"] = json!("another");
    }
    approved["stream_id"] = json!(correction(7));
    mirror["stream_id"] = paid["stream_id"].clone();
    mirror["version"] = json!(4);
    for (member, value) in [("correction_id", json!(correction(7))), ("reverses", paid["event_id"].clone())] {
        mirror["data"][member] = value;
    }
    mirror["data"]["amount"] = paid["data"]["amount"].clone();
    mirror["postings"][0]["debit"] = eur(100);
    mirror["postings"][1]["credit"] = eur(100);
    life.events.extend([approved, mirror]);
    assert_first(&audit_life(&life), at + 2, "status before");
}

#[test]
fn corrections_are_rows() {
    let life = corrected();
    let id = |n| correction(n).to_string();
    let at = |kind, n| (moment(&life.events, kind, n), position(&life.events, kind, n).to_string());
    let of_kind = |kind, n: usize| life.events[position(&life.events, kind, n) - 1].clone();
    let of: Vec<Value> = [
        ("payment.dispute_lost", 0),
        ("payment.dispute_lost", 1),
        ("client.deposited", 2),
        ("client.withdrawn", 0),
        ("merchant.deposited", 0),
        ("payout.paid", 0),
        ("payout.paid", 1),
    ]
    .into_iter()
    .map(|(kind, n)| of_kind(kind, n))
    .collect();
    let (first, second) = (key(1).to_string(), key(4).to_string());
    let rows: Vec<Vec<String>> = (0..7)
        .map(|n| {
            let event = &of[n];
            let amount = &event["data"]["amount"];
            let asked = at("correction.requested", n);
            let done = (n < 6).then(|| at("correction.approved", n));
            let text = |value: &Value| value.as_str().unwrap().to_owned();
            let (updated, position) = done.clone().unwrap_or(asked.clone());
            vec![
                id(n as u128 + 1),
                if done.is_some() { "approved" } else { "requested" }.to_owned(),
                text(&event["event_id"]),
                text(&event["type"]),
                event["position"].to_string(),
                text(&event["stream_id"]),
                text(&amount["currency"]),
                amount["amount"].to_string(),
                asked.0[..10].to_owned(),
                "words of a person".to_owned(),
                first.clone(),
                if done.is_some() { second.clone() } else { "null".to_owned() },
                asked.0,
                updated,
                position,
            ]
        })
        .collect();
    let rows: Vec<Vec<&str>> = rows.iter().map(|row| row.iter().map(String::as_str).collect()).collect();
    assert_eq!(wrong_read_model(&life, "correction", "corrections", &rows), Vec::<&str>::new());
    for at in 0..15 {
        let mut spoiled = rows.clone();
        spoiled[6][at] = "0.5";
        assert_eq!(wrong_read_model(&life, "correction", "corrections", &spoiled), ["corrections"]);
    }
}

#[test]
fn what_was_corrected_was_not_paid_out_and_waits_again() {
    let life = corrected();
    let of = merchant(1).to_string();
    let at = |kind, n| position(&life.events, kind, n).to_string();
    let paid = [at("payout.paid", 0), at("journal.corrected", 5), at("payout.paid", 1)];
    let rows: Vec<Vec<&str>> = paid
        .iter()
        .zip(["2000", "0", "100"])
        .map(|(position, after)| vec![of.as_str(), "EUR", position, after])
        .collect();
    let wrong = wrong_read_model(&life, "merchant-account", "merchant_paid_out", &rows);
    assert_eq!(wrong, ["merchants", "merchant_balances", "merchant_entries"]);
    let (dispute, payment, by) =
        (DisputeId::new(uuid(1)).to_string(), payment(1).to_string(), client(1).to_string());
    let respond_by = moment(&life.events, "payment.disputed", 1).parse::<Timestamp>().unwrap().plus_days(14);
    let respond_by = respond_by.to_string();
    let row = vec!["dispute_response", &dispute, &respond_by, &payment, &by, &of, "null", "null", "null"];
    assert_eq!(wrong_read_model(&life, "deadlines", "deadlines", &[row]), Vec::<&str>::new());
}
