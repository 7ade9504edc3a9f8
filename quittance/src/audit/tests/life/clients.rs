//! Clients are closed with nothing left, and paid back all the same.

use super::*;

#[test]
fn a_client_is_closed_with_nothing_left() {
    let mut life = life();
    let withdrawn = position(&life.events, "client.withdrawn", 0);
    let closed = position(&life.events, "client.closed", 0);
    let event = &mut life.events[withdrawn - 1];
    event["data"]["amount"] = eur(99);
    event["postings"][0]["debit"] = eur(99);
    event["postings"][1]["credit"] = eur(99);
    assert_first(&audit_life(&life), closed, "balances of the client");
    append(super::life(), "client.closed", 0, "client", |_| {});
    append(super::life(), "client.deposited", 2, "client", |_| {});
}

#[test]
fn a_client_is_not_closed_with_an_open_authorization_or_dispute() {
    let mut open = Life::default();
    open.open();
    open.pay(1, money(50_000, "EUR"), |_| {});
    open.withdraw(1, money(100_000, "JPY"));
    open.dispute(1, 1, money(1, "EUR"));
    let close = |life: &Life| {
        let mut event = super::life().events;
        let mut closed = event.swap_remove(position(&event, "client.closed", 0) - 1);
        closed["stream_id"] = json!(client(1));
        closed["data"]["reason"] = json!(null);
        let stream = closed["stream_id"].clone();
        let version = life.events.iter().filter(|event| event["stream_id"] == stream).count() + 1;
        closed["version"] = json!(version);
        closed["position"] = json!(life.events.len() + 1);
        closed["recorded_at"] = json!(life.now());
        closed
    };
    let closed = close(&open);
    open.events.push(closed);
    let at = open.events.len();
    assert_first(&audit_life(&open), at, "authorizations and disputes of the client");
}

#[test]
fn a_closed_client_is_paid_back_but_pays_no_more() {
    let mut life = Life::default();
    life.open();
    life.pay(1, money(10_000, "EUR"), |_| {});
    life.withdraw(1, money(40_000, "EUR"));
    life.withdraw(1, money(100_000, "JPY"));
    life.run(Operator, 1, Command::CloseClient(CloseClient { id: client(1), reason: None }));
    life.dispute(1, 1, money(4_000, "EUR"));
    life.run(Operator, 1, Command::LoseDispute(dispute_of(1, 1)));
    life.refund(1, 1, money(6_000, "EUR"));
    life.withdraw(1, money(10_000, "EUR"));
    life.hold_declined(2);
    let report = audit_life(&life);
    assert!(report.holds(), "{report}");
    let declined = position(&life.events, "payment.declined", 0);
    life.events[declined - 1]["data"]["decline_code"] = json!("insufficient_funds");
    assert_first(&audit_life(&life), declined, "attempt to pay");
}

impl Life {
    /// Tries to pay with what can't be used.
    fn hold_declined(&mut self, n: u128) {
        self.pay(n, money(1, "EUR"), |pay| pay.details.capture = CaptureMode::Manual);
    }
}
