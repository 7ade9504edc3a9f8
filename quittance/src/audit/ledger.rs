//! The fold: what the ledger is after the events so far, and whether each event was allowed to follow.
//!
//! This is the second implementation of the contract. It shares no decision with `ledger-core`: each
//! type has one rule, in the file of the aggregate that it belongs to, which says what the event must be
//! after those before it, and which money it must move (§4 of the contract).

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use ledger_core::Currency;
use ledger_core::ids::{
    CardId, ClientId, CorrectionId, DisputeId, EventId, KeyId, MerchantId, PaymentId, PayoutId,
    ReconciliationId, RefundId, StreamId,
};

use super::account::{self, Account, Holder, House, Move, Purpose};
use super::api_key::{self, ApiKey};
use super::balance::{Balance, Totals};
use super::card::Card;
use super::client::Client;
use super::correction::{self, Correction};
use super::dispute::Dispute;
use super::event::Event;
use super::fields::{Fields, Malformed};
use super::fx::Quote;
use super::merchant::Merchant;
use super::moment::Moment;
use super::payment::Payment;
use super::payout::Payout;
use super::reconciliation::Bank;
use super::refund::Refund;
use super::report::Check;
use super::subject::{Form, Opened, Vault};

/// What an event must be after those before it, and which money it must move.
type Rule = fn(&mut Ledger, &Event, &mut Desk<'_>) -> Result<Vec<Move>, Malformed>;

/// The place of a type in its stream.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Place {
    /// It begins it.
    First,
    /// It comes later.
    Later,
    /// It may do both.
    Any,
}

use Place::{Any, First, Later};

/// Every known type: its name, its place, its last schema version, and its rule.
const TYPES: &[(&str, Place, u64, Rule)] = &[
    ("api_key.created", First, 1, Ledger::api_key_created),
    ("api_key.revoked", Later, 1, Ledger::api_key_revoked),
    ("card.blocked", Later, 1, Ledger::card_blocked),
    ("card.issued", First, 1, Ledger::card_issued),
    ("card.unblocked", Later, 1, Ledger::card_unblocked),
    ("client.closed", Later, 1, Ledger::client_closed),
    ("client.deposited", Later, 1, Ledger::client_deposited),
    ("client.opened", First, 1, Ledger::client_opened),
    ("client.withdrawn", Later, 1, Ledger::client_withdrawn),
    ("correction.approved", Later, 1, Ledger::correction_approved),
    ("correction.requested", First, 1, Ledger::correction_requested),
    ("fx.rate_set", Any, 1, Ledger::fx_rate_set),
    ("journal.corrected", Later, 1, Ledger::journal_corrected),
    ("merchant.balance_written_off", Later, 1, Ledger::merchant_balance_written_off),
    ("merchant.deposited", Later, 1, Ledger::merchant_deposited),
    ("merchant.opened", First, 1, Ledger::merchant_opened),
    ("merchant.reinstated", Later, 1, Ledger::merchant_reinstated),
    ("merchant.settings_changed", Later, 1, Ledger::merchant_settings_changed),
    ("merchant.suspended", Later, 1, Ledger::merchant_suspended),
    ("payment.authorization_expiring", Later, 1, Ledger::payment_authorization_expiring),
    ("payment.authorization_incremented", Later, 1, Ledger::payment_authorization_incremented),
    ("payment.authorized", First, 2, Ledger::payment_authorized),
    ("payment.captured", Later, 1, Ledger::payment_captured),
    ("payment.declined", First, 1, Ledger::payment_declined),
    ("payment.dispute_evidence_submitted", Later, 1, Ledger::payment_dispute_evidence_submitted),
    ("payment.dispute_lost", Later, 1, Ledger::payment_dispute_lost),
    ("payment.dispute_reopened", Later, 1, Ledger::payment_dispute_reopened),
    ("payment.dispute_won", Later, 1, Ledger::payment_dispute_won),
    ("payment.disputed", Later, 1, Ledger::payment_disputed),
    ("payment.expired", Later, 1, Ledger::payment_expired),
    ("payment.refunded", Later, 1, Ledger::payment_refunded),
    ("payment.voided", Later, 1, Ledger::payment_voided),
    ("payout.failed", Later, 1, Ledger::payout_failed),
    ("payout.paid", Later, 1, Ledger::payout_paid),
    ("payout.requested", First, 1, Ledger::payout_requested),
    ("payout.returned", Later, 1, Ledger::payout_returned),
    ("reconciliation.items", Later, 1, Ledger::reconciliation_items),
    ("reconciliation.run", First, 1, Ledger::reconciliation_run),
    ("settlement.closed", First, 1, Ledger::settlement_closed),
];

/// The state of the ledger.
#[derive(Default)]
pub(super) struct Ledger {
    pub(super) streams: HashMap<StreamId, Stamp>,
    pub(super) clients: HashMap<ClientId, Client>,
    pub(super) merchants: HashMap<MerchantId, Merchant>,
    pub(super) cards: HashMap<CardId, Card>,
    pub(super) payments: HashMap<PaymentId, Payment>,
    pub(super) disputes: HashMap<DisputeId, Dispute>,
    pub(super) payouts: HashMap<PayoutId, Payout>,
    pub(super) corrections: HashMap<CorrectionId, Correction>,
    /// The events that can be corrected.
    pub(super) correctable: HashMap<EventId, Event>,
    /// Those that were, and by which correction.
    pub(super) corrected: HashMap<EventId, CorrectionId>,
    /// The last rate of each pair: by the currency that is paid in, then by the one that pays.
    pub(super) rates: HashMap<Currency, BTreeMap<Currency, Quote>>,
    pub(super) keys: HashMap<KeyId, ApiKey>,
    pub(super) balances: HashMap<(Holder, Currency), Balance>,
    pub(super) house: HashMap<(House, Currency), Totals>,
    /// What moved at the bank, and how its statements compare with it.
    pub(super) bank: Bank,
    pub(super) refunds: HashSet<RefundId>,
    /// The last refund, for those who list them all.
    pub(super) refund: Option<Refund>,
    /// What the next event must be.
    pub(super) duty: Option<Duty>,
    /// Every currency that a balance was ever in.
    currencies: BTreeSet<Currency>,
    /// The balances that the event at hand has changed.
    touched: BTreeSet<(Holder, Currency)>,
    events: HashSet<EventId>,
}

/// Where a stream stands.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stamp {
    pub(super) version: u64,
    pub(super) position: u64,
    pub(super) created_at: Moment,
    pub(super) updated_at: Moment,
}

/// What the next event must be: some events come in pairs, or with more behind them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Duty {
    /// An automatic payment is captured with its authorization.
    Capture(PaymentId),
    /// A card is blocked with the attempt that was one wrong too many.
    Block(CardId),
    /// A correction corrects, in the stream of its event, with its approval.
    Correct(CorrectionId, StreamId),
    /// A reconciliation is recorded with all of its items.
    Items(ReconciliationId),
}

/// What one event did to one account of a holder.
#[derive(Clone, Copy, Debug)]
pub(super) struct Effect {
    /// The index of the posting in the event.
    pub(super) ordinal: usize,
    pub(super) holder: Holder,
    pub(super) purpose: Purpose,
    pub(super) currency: Currency,
    /// By how much the account was raised, or lowered.
    pub(super) amount: i128,
    /// What it held then.
    pub(super) after: i128,
}

/// What the rules work with besides the ledger: where findings go, the keys of personal fields, and the
/// event before.
pub(super) struct Desk<'a> {
    pub(super) check: Check<'a>,
    pub(super) vault: &'a Vault,
    /// The event before, if it could be read.
    pub(super) previous: Option<&'a Event>,
    /// What the event before asked of this one.
    pub(super) due: Option<Duty>,
}

impl Desk<'_> {
    /// Reads a personal field: see [`Vault::open`].
    pub(super) fn open(
        &mut self,
        event: &Event,
        data: Fields<'_>,
        field: (&'static str, Form),
        subject: StreamId,
    ) -> Result<Opened, Malformed> {
        self.vault.open(event, data, field, subject, &mut self.check)
    }
}

impl Ledger {
    /// Checks an event against those before it, and folds it in. Postings are taken as they stand, also
    /// where a rule would have made others: each finding is told once, not at every balance after it.
    pub(super) fn apply(&mut self, event: &Event, desk: &mut Desk<'_>) -> Vec<Effect> {
        desk.check.holds(self.events.insert(event.id), "event_id", "an id of its own", event.id);
        desk.due = self.duty.take();
        check_duty(event, desk);
        self.check_actor(event, desk);
        let known = TYPES.iter().find(|(name, ..)| *name == event.kind);
        match (known, event.schema_version) {
            (Some((_, place, last, rule)), version) if (1..=*last).contains(&version) => {
                self.check_rule(event, *place, *rule, desk);
            }
            (_, version) => {
                let found = format!("version {version} of another");
                desk.check.note("type", "a known type and schema version", found);
            }
        }
        if correction::is_correctable(&event.kind) {
            self.correctable.insert(event.id, event.clone());
        }
        self.note_movement(event);
        self.stamp(event, desk);
        self.post(event, desk)
    }

    fn check_rule(&mut self, event: &Event, place: Place, rule: Rule, desk: &mut Desk<'_>) {
        let begun = self.streams.contains_key(&event.stream);
        let wanted = match place {
            First if begun => Some("the first of its stream"),
            Later if !begun => Some("one of a stream that was begun"),
            First | Later | Any => None,
        };
        if let Some(wanted) = wanted {
            desk.check.note(&event.kind, wanted, format!("version {} of {}", event.version, event.stream));
            return;
        }
        match rule(self, event, desk) {
            Ok(moves) => {
                let (expected, found) = (account::sums_of_moves(&moves), account::sums(&event.postings));
                if expected != found {
                    let [expected, found] = [expected, found].map(|sums| account::describe(&sums));
                    desk.check.note("postings", expected, found);
                }
            }
            Err(Malformed { field, wanted }) => desk.check.note(field, wanted, "something else"),
        }
    }

    /// Checks that an actor is there and may have done this.
    fn check_actor(&self, event: &Event, desk: &mut Desk<'_>) {
        let has_request = event.request.as_ref().is_some_and(|request| !request.is_empty());
        let allowed = if let Some(part) = event.actor.strip_prefix("system:") {
            !part.is_empty() && event.request.is_none() && api_key::needs_no_request(event)
        } else {
            let key = event.actor.parse().ok().and_then(|id: KeyId| self.keys.get(&id));
            has_request && key.is_some_and(|key| key.may_cause(event))
        };
        if !allowed {
            let wanted =
                "a part of the system that does this without a request, or a key whose role may with one";
            desk.check.note("actor", wanted, "neither");
        }
    }

    /// Counts the event in its stream.
    fn stamp(&mut self, event: &Event, desk: &mut Desk<'_>) {
        let begun = Stamp { version: 0, position: 0, created_at: event.at, updated_at: event.at };
        let stamp = self.streams.entry(event.stream).or_insert(begun);
        desk.check.same("version in the stream", stamp.version.saturating_add(1), event.version);
        stamp.version = event.version;
        stamp.position = event.position;
        stamp.updated_at = event.at;
    }

    /// Moves the balances and checks them.
    fn post(&mut self, event: &Event, desk: &mut Desk<'_>) -> Vec<Effect> {
        if let Some((currency, difference)) = account::unbalanced(&event.postings) {
            desk.check.note(
                "postings",
                "debits equal to credits",
                format!("{difference} {currency} between them"),
            );
        }
        let mut effects = Vec::new();
        for (ordinal, posting) in event.postings.iter().enumerate() {
            let currency = posting.money.currency;
            match posting.account {
                Account::Of(holder, purpose) => {
                    let balance = self.change(holder, currency, event.position);
                    balance.posted = event.position;
                    let amount = posting.raises();
                    let after = balance.add(purpose, amount);
                    effects.push(Effect { ordinal, holder, purpose, currency, amount, after });
                }
                Account::House(house) => {
                    let totals = self.house.entry((house, currency)).or_default();
                    totals.add(posting.side, posting.money.minor, event.position);
                }
            }
        }
        for (holder, currency) in std::mem::take(&mut self.touched) {
            let is_known = match holder {
                Holder::Client(id) => self.clients.contains_key(&id),
                Holder::Merchant(id) => self.merchants.contains_key(&id),
            };
            desk.check.holds(is_known, "postings", "accounts of those that were opened", holder);
            if let Some((rule, found)) = self.balances[&(holder, currency)].broken_rule(holder) {
                desk.check.note(&format!("balance of {holder}"), rule, format!("{found} {currency}"));
            }
        }
        effects
    }

    /// Finds a balance that an event changes, and counts the change.
    pub(super) fn change(&mut self, holder: Holder, currency: Currency, position: u64) -> &mut Balance {
        self.currencies.insert(currency);
        self.touched.insert((holder, currency));
        let balance = self.balances.entry((holder, currency)).or_default();
        balance.touch(position);
        balance
    }

    /// Lists a holder's balances.
    pub(super) fn balances_of(&self, holder: Holder) -> impl Iterator<Item = (Currency, &Balance)> {
        let balance = move |currency| Some((currency, self.balances.get(&(holder, currency))?));
        self.currencies.iter().copied().filter_map(balance)
    }

    /// Returns what a holder has in a currency so far.
    pub(super) fn balance(&self, holder: Holder, currency: Currency, purpose: Purpose) -> i128 {
        self.balances.get(&(holder, currency)).map_or(0, |balance| balance.amount(purpose))
    }
}

/// Checks that an event is what the one before it asked for.
fn check_duty(event: &Event, desk: &mut Desk<'_>) {
    let Some(duty) = desk.due else { return };
    let (stream, kind) = match duty {
        Duty::Capture(id) => (StreamId::Payment(id), "payment.captured"),
        Duty::Block(id) => (StreamId::Card(id), "card.blocked"),
        Duty::Correct(_, stream) => (stream, "journal.corrected"),
        Duty::Items(id) => (StreamId::Reconciliation(id), "reconciliation.items"),
    };
    let same_request = desk.previous.is_some_and(|previous| event.is_of_the_request_of(previous));
    if event.stream != stream || event.kind != kind || !same_request {
        desk.check.note(
            "what follows the event before",
            format!("{kind} of {stream}, for the same request"),
            "something else",
        );
    }
}
