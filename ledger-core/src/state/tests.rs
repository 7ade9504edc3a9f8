//! A state that knows nothing, some or all of it; what its events leave behind.

use crate::api_key::Role;
use crate::card::{Card, CardStatus};
use crate::card_number::Fingerprint;
use crate::client::Client;
use crate::command::{Command, Context, PayoutNews};
use crate::envelope::Envelope;
use crate::ids::{EventId, StreamId};
use crate::merchant::Merchant;
use crate::reconciliation::statement::FileHash;
use crate::rejection::Rejection;
use crate::state::{Key, Record, State};
use crate::testing::*;

/// The keys that an EUR payment of client 1, card 1 and merchant 1 touches.
fn payers() -> [Key; 4] {
    [
        Key::Merchant(merchant(1)),
        Key::MerchantBalance(merchant(1), euro()),
        Key::Card(card(1)),
        Key::ClientBalance(client(1), euro()),
    ]
}

/// A state that knows of the ledger's records only these.
fn knowing(ledger: &Ledger, keys: &[Key]) -> State {
    let mut state = State::default();
    for key in keys {
        state.learn(*key, ledger.state.get(key).cloned());
    }
    state
}

#[test]
fn what_is_new_needs_nothing() {
    let state = State::default();
    assert_eq!(state.needs(&open_client(1)), []);
    assert_eq!(state.needs(&open_merchant(1)), []);
    assert_eq!(state.needs(&create_key(1, Role::Operator, None)), []);
}

#[test]
fn a_command_needs_what_it_names() {
    let state = State::default();
    let client_and_balance = [Key::Client(client(1)), Key::ClientBalance(client(1), euro())];
    assert_eq!(state.needs(&deposit(1, eur(1))), client_and_balance);
    assert_eq!(state.needs(&withdraw(1, eur(1))), client_and_balance);
    let number = Key::CardOf(Fingerprint([1; 32]));
    assert_eq!(state.needs(&issue_card(1, 1)), [Key::Client(client(1)), number]);
    assert_eq!(state.needs(&block_card(1)), [Key::Card(card(1))]);
    assert_eq!(state.needs(&unblock_card(1)), [Key::Card(card(1))]);
    assert_eq!(state.needs(&change_settings(1, |_| {})), [Key::Merchant(merchant(1))]);
    let bound = create_key(1, Role::Merchant, Some(merchant(1)));
    assert_eq!(state.needs(&bound), [Key::Merchant(merchant(1))]);
    assert_eq!(state.needs(&Command::RevokeKey(key(1))), [Key::ApiKey(key(1))]);
    for command in of_payment() {
        assert_eq!(state.needs(&command), [Key::Payment(payment(1))], "{command:?}");
    }
    let merchant_balance = Key::MerchantBalance(merchant(1), euro());
    let merchant_and_balance = [Key::Merchant(merchant(1)), merchant_balance];
    assert_eq!(state.needs(&suspend(1)), [Key::Merchant(merchant(1))]);
    assert_eq!(state.needs(&reinstate(1)), [Key::Merchant(merchant(1))]);
    assert_eq!(state.needs(&deposit_to_merchant(1, eur(1))), merchant_and_balance);
    assert_eq!(state.needs(&write_off(1, eur(1))), merchant_and_balance);
    assert_eq!(state.needs(&request_payout(1, eur(1))), merchant_and_balance);
    assert_eq!(state.needs(&close_client(1)), [Key::Client(client(1))]);
    assert_eq!(state.needs(&change_payout(1, PayoutNews::Paid)), [Key::Payout(payout(1))]);
    let yen = jpy(0).currency;
    assert_eq!(state.needs(&set_rate("EUR", "JPY", "160", 1)), [Key::FxRate(euro(), yen)]);
    let file = Key::ReconciliationOf(FileHash::of(b"a file"));
    assert_eq!(state.needs(&reconcile(1, "a file", Vec::new())), [file]);
    let candidates = [(1, euro()), (1, yen)];
    let deposited = Ledger::shop().last("client.deposited");
    let corrected = Key::CorrectionOf(deposited.draft.event_id);
    let what_it_changed = [corrected, client_and_balance[0], client_and_balance[1]];
    assert_eq!(state.needs(&request_correction(1, &deposited)), what_it_changed);
    let approve = approve_correction(1, &deposited, 2);
    assert_eq!(state.needs(&approve), [&[Key::Correction(correction(1))], &what_it_changed[..]].concat());
    let issued = Ledger::shop().last("card.issued");
    assert_eq!(state.needs(&request_correction(1, &issued)), [Key::CorrectionOf(issued.draft.event_id)]);
    let balances = [merchant_balance, Key::MerchantBalance(merchant(1), yen)];
    assert_eq!(state.needs(&settle(1, candidates)), balances);
}

/// Every command of payment 1 and of its dispute 1.
fn of_payment() -> [Command; 12] {
    [
        increment(1, eur(1)),
        capture(1),
        void(1),
        refund(1),
        warn(1),
        expire(1),
        open_dispute(1, 1),
        submit(1, 1, "signed for"),
        win(1, 1),
        lose(1, 1),
        lose_unanswered(1, 1),
        reopen(1, 1),
    ]
}

#[test]
fn a_payout_leads_to_its_merchants_balance() {
    let ledger = Ledger::shop().given(deposit_to_merchant(1, jpy(100))).given(request_payout(1, jpy(100)));
    let state = knowing(&ledger, &[Key::Payout(payout(1))]);
    let balance = Key::MerchantBalance(merchant(1), jpy(0).currency);
    assert_eq!(state.needs(&change_payout(1, PayoutNews::Paid)), [balance]);
}

#[test]
fn a_client_leads_to_its_balances() {
    let ledger = Ledger::shop().given(deposit(1, jpy(1)));
    let state = knowing(&ledger, &[Key::Client(client(1))]);
    let balances = [euro(), jpy(0).currency].map(|currency| Key::ClientBalance(client(1), currency));
    assert_eq!(state.needs(&close_client(1)), balances);
}

#[test]
fn other_currencies_are_needed_where_the_payments_own_does_not_cover_it() {
    let ledger = Ledger::shop().given(deposit(1, jpy(100))).given(deposit(1, money(5, "KWD")));
    let [merchant, merchant_balance, card, client_balance] = payers();
    let holder = Key::Client(client(1));
    let state = knowing(&ledger, &[merchant, merchant_balance, card, holder, client_balance]);
    assert_eq!(state.needs(&pay(1, eur(10_000))), []);
    let [yen, dinar] = ["JPY", "KWD"].map(|code| money(0, code).currency);
    let others = [
        Key::ClientBalance(client(1), yen),
        Key::FxRate(yen, euro()),
        Key::ClientBalance(client(1), dinar),
        Key::FxRate(dinar, euro()),
    ];
    assert_eq!(state.needs(&pay(1, eur(10_001))), others);
    // Once it is paid by yen, only the yen matter.
    let ledger =
        ledger.given(set_rate("JPY", "EUR", "1", 1)).given(deposit(1, jpy(1))).given(hold(2, eur(10_100)));
    assert_eq!(ledger.amounts(2).purse.pays_in(), yen);
    let state = knowing(&ledger, &[Key::Payment(payment(2))]);
    let yens = Key::ClientBalance(client(1), yen);
    for command in [capture(2), void(2), refund(2)] {
        assert_eq!(state.needs(&command), [merchant, merchant_balance, yens]);
    }
}

#[test]
fn a_card_leads_to_its_holders_balance() {
    let ledger = Ledger::shop();
    let [merchant, merchant_balance, card, client_balance] = payers();
    let mut state = State::default();
    assert_eq!(state.needs(&pay(1, eur(1))), [merchant, merchant_balance, card]);
    state.learn(card, ledger.state.get(&card).cloned());
    let holder = Key::Client(client(1));
    assert_eq!(state.needs(&pay(1, eur(1))), [merchant, merchant_balance, holder, client_balance]);
    let unknown = pay_with(1, eur(1), |pay| pay.details.card.id = None);
    assert_eq!(State::default().needs(&unknown), [merchant, merchant_balance]);
}

#[test]
fn a_payment_leads_to_its_merchant_and_client() {
    let ledger = Ledger::shop().given(hold(1, eur(100)));
    let payment = Key::Payment(payment(1));
    let [merchant, merchant_balance, _, client_balance] = payers();
    for command in of_payment() {
        let found = knowing(&ledger, &[payment]).needs(&command);
        assert_eq!(found, [merchant, merchant_balance, client_balance], "{command:?}");
    }
    // What was declined was paid by nobody.
    let ledger = ledger.given(hold(2, eur(10_000)));
    let declined = Key::Payment(crate::testing::payment(2));
    assert_eq!(knowing(&ledger, &[declined]).needs(&capture(2)), [merchant, merchant_balance]);
}

#[test]
fn what_is_known_absent_is_not_needed_again() {
    let mut state = State::default();
    for key in [Key::Client(client(1)), Key::ClientBalance(client(1), euro())] {
        state.learn(key, None);
    }
    assert_eq!(state.needs(&deposit(1, eur(1))), []);
}

#[test]
fn what_is_needed_is_enough_to_decide() {
    let ledger = Ledger::shop()
        .given(deposit(1, jpy(100_000)))
        .given(set_rate("JPY", "EUR", "0.0062", 1))
        .given(set_rate("KWD", "EUR", "3", 1))
        .given(hold(1, eur(100)))
        .given(pay(3, eur(200)))
        .given(open_dispute_part(1, 3, eur(50)))
        .given(open_client(2))
        .given(deposit_to_merchant(1, eur(500)))
        .given(request_payout(1, eur(20)))
        .given(request_payout(3, eur(10)))
        .given(change_payout(3, PayoutNews::Paid))
        .given(open_dispute_part(4, 3, eur(10)))
        .given(lose(4, 3));
    let (deposited, paid, lost) =
        (ledger.last("client.deposited"), ledger.last("payout.paid"), ledger.last("payment.dispute_lost"));
    let ledger = ledger
        .given(request_correction(1, &deposited))
        .given(request_correction(2, &paid))
        .given(request_correction(3, &lost));
    let context = Context { now: BEGIN.parse().unwrap(), event_id: EventId::new(uuid(1)) };
    let others = [
        pay(2, eur(100)),
        pay(2, eur(10_001)),
        refund(3),
        deposit(1, eur(1)),
        withdraw(1, eur(9_700)),
        close_client(1),
        close_client(2),
        issue_card_of(2, 1, 1),
        block_card(1),
        change_settings(1, |change| change.settlement_delay_days = Some(9)),
        suspend(1),
        reinstate(1),
        deposit_to_merchant(1, eur(1)),
        write_off(1, eur(1)),
        settle_as_of(1, [(1, euro()), (1, jpy(0).currency)], None),
        request_payout(2, eur(480)),
        change_payout(1, PayoutNews::Paid),
        change_payout(2, PayoutNews::Paid),
        set_rate("EUR", "JPY", "160", 0),
        submit(1, 3, "signed for"),
        win(1, 3),
        lose(1, 3),
        lose_unanswered(1, 3),
        request_correction(4, &deposited),
        approve_correction(1, &deposited, 1),
        approve_correction(1, &deposited, 2),
        approve_correction(2, &paid, 2),
        approve_correction(3, &lost, 2),
    ];
    for command in of_payment().into_iter().chain(others) {
        let mut state = State::default();
        loop {
            let needs = state.needs(&command);
            if needs.is_empty() {
                break;
            }
            for key in needs {
                state.learn(key, ledger.state.get(&key).cloned());
            }
        }
        let all = ledger.state.decide(&command, &context);
        assert_eq!(state.decide(&command, &context), all, "{command:?}");
    }
}

#[test]
fn what_does_not_exist_is_not_found() {
    let others = [
        suspend(1),
        reinstate(1),
        deposit_to_merchant(1, eur(1)),
        write_off(1, eur(1)),
        request_payout(1, eur(1)),
        change_payout(1, PayoutNews::Paid),
        close_client(1),
        create_key(1, Role::Merchant, Some(merchant(1))),
        Command::RevokeKey(key(1)),
    ];
    for command in of_payment().into_iter().chain(others) {
        Ledger::new().when(command).then_rejected(Rejection::NotFound);
    }
    // A payment without the dispute that is asked for.
    for command in &of_payment()[7..] {
        Ledger::shop().given(pay(1, eur(1))).when(command.clone()).then_rejected(Rejection::NotFound);
    }
}

#[test]
fn looking_up_touches_nothing_and_events_touch_what_they_change() {
    let ledger = Ledger::new().when(deposit(1, eur(1))).then_rejected(Rejection::NotFound);
    assert!(ledger.state.touched().is_empty());
    let ledger = Ledger::shop().given(pay(1, eur(100)));
    let touched: Vec<_> = ledger.state.touched().iter().copied().collect();
    let [merchant, merchant_balance, card, client_balance] = payers();
    assert_eq!(
        touched,
        [Key::Client(client(1)), merchant, card, Key::Payment(payment(1)), client_balance, merchant_balance]
    );
}

#[test]
fn a_stream_begins_at_version_zero_and_counts_its_events() {
    let streams = |n| {
        [
            StreamId::Client(client(n)),
            StreamId::Merchant(merchant(n)),
            StreamId::Card(card(n)),
            StreamId::Payment(payment(n)),
            StreamId::Key(key(n)),
            StreamId::Settlement(settlement(n)),
            StreamId::Payout(payout(n)),
            StreamId::Correction(correction(n)),
            StreamId::FxPair(euro(), jpy(0).currency),
        ]
    };
    assert_eq!(streams(1).map(|stream| State::default().stream_version(stream)), [0; 9]);
    let ledger = Ledger::shop()
        .given(pay(1, eur(100)))
        .given(change_settings(1, |change| change.settlement_delay_days = Some(0)))
        .given(block_card(1))
        .given(create_key(1, Role::Operator, None))
        .settled(1)
        .given(request_payout(1, eur(10)))
        .given(change_payout(1, PayoutNews::Paid))
        .given(change_payout(1, PayoutNews::Returned))
        .given(deposit_to_merchant(1, eur(1)))
        .corrected(1, "merchant.deposited")
        .given(set_rate("EUR", "JPY", "160", 3))
        .given(set_rate("EUR", "JPY", "161", 3));
    assert_eq!(streams(1).map(|stream| ledger.state.stream_version(stream)), [2, 4, 2, 2, 1, 1, 3, 2, 2]);
}

#[test]
fn an_event_of_an_unknown_object_moves_its_money_and_nothing_else() {
    // As in a state that holds only some records: evolve can't fail (I4).
    let ledger = Ledger::shop().given(hold(1, eur(100))).given(capture(1));
    let mut state = State::default();
    state.evolve(&ledger.appended()[0]);
    assert_eq!(state.payment(payment(1)), None);
    let touched: Vec<_> = state.touched().iter().copied().collect();
    let [_, merchant_balance, _, client_balance] = payers();
    assert_eq!(touched, [client_balance, merchant_balance]);
}

#[test]
fn no_record_passes_for_one_of_another_kind() {
    let ledger = Ledger::shop();
    let mut state = State::default();
    state.learn(Key::Client(client(1)), ledger.state.get(&Key::Card(card(1))).cloned());
    assert_eq!(state.client(client(1)), None);
    assert!(matches!(state.get(&Key::Client(client(1))), Some(Record::Card(_))));
}

#[test]
fn owners_and_cards_survive_their_rows() {
    let wrong = pay_with(1, eur(1), |pay| pay.cvc_matches = false);
    let ledger = Ledger::shop().given(wrong).given(issue_card(2, 1)).given(block_card(2));
    let client = ledger.state.client(client(1)).unwrap();
    let text = serde_json::to_string(client).unwrap();
    assert_eq!(&serde_json::from_str::<Client>(&text).unwrap(), client);
    let merchant = ledger.state.merchant(merchant(1)).unwrap();
    let text = serde_json::to_string(merchant).unwrap();
    assert_eq!(&serde_json::from_str::<Merchant>(&text).unwrap(), merchant);
    for n in [1, 2] {
        let found = ledger.state.card(card(n)).unwrap();
        let text = serde_json::to_string(found).unwrap();
        let mut read: Card = serde_json::from_str(&text).unwrap();
        // The row's own version stands in columns of their own.
        read.row = found.row;
        assert_eq!(&read, found);
    }
    let counted = CardStatus::Active { wrong_attempts: 1 };
    assert_eq!(ledger.state.card(card(1)).unwrap().status, counted);
}

#[test]
fn a_row_counts_the_events_that_changed_it() {
    let wrong = pay_with(9, eur(1), |pay| pay.cvc_matches = false);
    let ledger = Ledger::shop().given(pay(1, eur(100))).given(wrong).given(refund(1));
    let row = |key: Key| {
        let row = ledger.state.get(&key).unwrap().row().unwrap();
        (row.version, row.position)
    };
    let [merchant, merchant_balance, card, client_balance] = payers();
    assert_eq!(row(Key::Client(client(1))), (2, 2));
    assert_eq!(row(merchant), (1, 4));
    assert_eq!(row(card), (2, 7));
    assert_eq!(row(client_balance), (4, 8));
    assert_eq!(row(merchant_balance), (2, 8));
    for key in [Key::Payment(payment(1)), Key::CardOf(Fingerprint([1; 32]))] {
        assert_eq!(ledger.state.get(&key).unwrap().row(), None);
    }
    let ledger = ledger
        .given(create_key(1, Role::Operator, None))
        .given(deposit_to_merchant(1, eur(1)))
        .given(request_payout(1, eur(1)))
        .given(set_rate("EUR", "JPY", "160", 3))
        .given(pay(2, eur(100)))
        .settled(1)
        .given(reconcile(1, "a file", Vec::new()));
    let row = |key: Key| ledger.state.get(&key).unwrap().row();
    assert_eq!(row(Key::ApiKey(key(1))).map(|row| (row.version, row.position)), Some((1, 9)));
    for key in [
        Key::Payout(payout(1)),
        Key::Settlement(settlement(1)),
        Key::FxRate(euro(), jpy(0).currency),
        Key::Reconciliation(reconciliation(1)),
        Key::ReconciliationOf(FileHash::of(b"a file")),
    ] {
        assert_eq!(row(key), None);
    }
}

#[test]
fn the_log_folds_to_the_same_state() {
    let mut log: Vec<Envelope> = Vec::new();
    let commands = vec![
        open_client(1),
        deposit(1, eur(10_000)),
        issue_card(1, 1),
        open_merchant(1),
        hold(1, eur(5_000)),
        capture_part(1, eur(2_000), false),
        refund_part(1, eur(500)),
        void(1),
        pay_with(2, eur(1), |pay| pay.cvc_matches = false),
        pay(3, eur(7_000)),
        refund_part(3, eur(500)),
        set_rate("EUR", "JPY", "160", 1),
        hold(4, jpy(160)),
        increment(4, jpy(1)),
        capture_part(4, jpy(100), false),
        refund_part(4, jpy(1)),
        open_dispute(1, 4),
        submit(1, 4, "signed for"),
        win(1, 4),
        reopen(1, 4),
        lose(1, 4),
        open_dispute(2, 3),
        suspend(1),
        reinstate(1),
        deposit_to_merchant(1, eur(9_000)),
        request_payout(1, eur(10)),
        change_payout(1, PayoutNews::Paid),
        change_payout(1, PayoutNews::Returned),
        request_payout(2, eur(10)),
        change_payout(2, PayoutNews::Failed),
        request_payout(3, eur(10)),
        change_payout(3, PayoutNews::Paid),
        deposit(1, eur(5)),
        withdraw(1, eur(5)),
        deposit_to_merchant(1, eur(5)),
        open_client(2),
        close_client(2),
        reconcile(1, "a file", Vec::new()),
    ];
    let ledger = commands.into_iter().fold(Ledger::new(), |ledger, command| {
        let ledger = ledger.given(command);
        log.extend_from_slice(ledger.appended());
        ledger
    });
    let corrected =
        ["payment.dispute_lost", "payout.paid", "client.withdrawn", "client.deposited", "merchant.deposited"];
    let ledger = (1..).zip(corrected).fold(ledger, |ledger, (n, type_name)| {
        let reversed = ledger.last(type_name);
        [request_correction(n, &reversed), approve_correction(n, &reversed, 2)].into_iter().fold(
            ledger,
            |ledger, command| {
                let ledger = ledger.given(command);
                log.extend_from_slice(ledger.appended());
                ledger
            },
        )
    });
    let mut folded = State::default();
    for envelope in &log {
        folded.evolve(envelope);
    }
    assert_eq!(folded.touched(), ledger.state.touched());
    for key in folded.touched() {
        assert_eq!(folded.get(key), ledger.state.get(key), "{key:?}");
    }
}
