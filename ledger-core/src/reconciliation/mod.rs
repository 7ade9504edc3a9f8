//! Reconciliations: what a bank's statement says, beside what the ledger expects of the bank.
//!
//! A run is a stream of its own. Its first event says which file was compared, and how it came out; its
//! items follow in further events, appended with it, the differences first. One file is one run, for ever:
//! the file is known by the SHA-256 of its bytes, and comparing it again changes nothing.
//!
//! What the bank says ([`statement`]) is paired with what the ledger expects ([`movement`]) by [`matching`],
//! which is pure and runs before the command is queued; each line and each movement ends in one [`item`].
//! A run therefore tells up to which position of the log it has read.

pub mod item;
pub mod matching;
pub mod movement;
pub mod statement;

use crate::command::{Context, RunReconciliation};
use crate::envelope::{Draft, Envelope};
use crate::event::{Event, ReconciliationItems, ReconciliationRun};
use crate::ids::{EventId, ReconciliationId, StreamId};
use crate::journal::JournalEntry;
use crate::stamp::Stamp;
use item::{Item, MatchCounts};

/// How many items one event holds: with the longest references they stay below 128 KiB.
pub const EVENT_ITEMS: usize = 25;

/// How many items an answer shows; all of them are a list of their own.
pub const SHOWN_ITEMS: usize = 50;

/// A run, folded from its stream as far as an answer shows it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Reconciliation {
    /// The run.
    pub id: ReconciliationId,
    /// What was compared, and how it came out.
    pub run: ReconciliationRun,
    /// The first [`SHOWN_ITEMS`] items, each with the event that its line's reference is sealed for.
    pub shown: Vec<(EventId, Item)>,
    /// Where the stream stands.
    pub stamp: Stamp,
}

impl Reconciliation {
    /// Begins a run with its first event.
    pub fn begin(id: ReconciliationId, run: &ReconciliationRun, envelope: &Envelope) -> Self {
        Self { id, run: run.clone(), shown: Vec::new(), stamp: Stamp::first(envelope) }
    }

    /// Folds a whole stream; `None` unless it begins as runs do.
    pub fn fold<'a>(stream: impl IntoIterator<Item = &'a Envelope>) -> Option<Self> {
        let mut stream = stream.into_iter();
        let first = stream.next()?;
        let (StreamId::Reconciliation(id), Event::ReconciliationRun(run)) =
            (first.stream_id(), first.event())
        else {
            return None;
        };
        let mut reconciliation = Self::begin(id, run, first);
        stream.for_each(|later| reconciliation.evolve(later));
        Some(reconciliation)
    }

    /// Folds a later event of the stream in.
    pub fn evolve(&mut self, envelope: &Envelope) {
        self.stamp.advance(envelope);
        if let Event::ReconciliationItems(more) = envelope.event() {
            let room = SHOWN_ITEMS.saturating_sub(self.shown.len());
            let items = more.items.iter().take(room).cloned();
            self.shown.extend(items.map(|item| (envelope.draft.event_id, item)));
        }
    }
}

/// Returns the id of the event that holds the item at an index; `first` is the run's first event.
pub const fn event_of_item(first: EventId, index: usize) -> EventId {
    first.plus(1 + (index / EVENT_ITEMS) as u64)
}

/// Records a run and all of its items; nothing if the file was compared before.
pub fn run(command: &RunReconciliation, known: Option<&Reconciliation>, context: &Context) -> Vec<Draft> {
    if known.is_some() {
        return Vec::new();
    }
    let RunReconciliation { id, format, file_hash, from, to, currencies, through_position, items } = command;
    let run = Event::ReconciliationRun(ReconciliationRun {
        format: *format,
        file_hash: *file_hash,
        from: *from,
        to: *to,
        currencies: currencies.clone(),
        lines: items.iter().filter(|item| item.line.is_some()).count() as u64,
        through_position: *through_position,
        counts: MatchCounts::of(items.iter().map(|item| item.result)),
    });
    let items = items.chunks(EVENT_ITEMS).map(<[Item]>::to_vec);
    let items = items.map(|items| Event::ReconciliationItems(ReconciliationItems { items }));
    let numbered = (0..).zip([run].into_iter().chain(items));
    numbered
        .map(|(n, event)| Draft {
            event_id: context.event_id.plus(n),
            stream_id: StreamId::Reconciliation(*id),
            event,
            postings: JournalEntry::none(),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::command::Command;
    use crate::personal::Reference;
    use crate::reconciliation::item::{ItemLine, MatchResult};
    use crate::reconciliation::movement::{Movement, MovementKind, movements_of};
    use crate::reconciliation::statement::Direction;
    use crate::testing::*;

    /// So many lines, of which the ledger knows none.
    fn strange(lines: u64) -> Vec<Item> {
        (1..=lines).map(strange_line).collect()
    }

    fn strange_line(number: u64) -> Item {
        let date = BEGIN.parse::<crate::Timestamp>().unwrap().day();
        let (amount, direction) = (eur(5), Direction::In);
        let line = ItemLine { number, date, direction, amount, reference: Some(sealed("who?")) };
        Item { result: MatchResult::MissingHere, line: Some(line), movement: None }
    }

    fn found(ledger: &Ledger, n: u8) -> &Reconciliation {
        ledger.state.reconciliation(reconciliation(n)).unwrap()
    }

    #[test]
    fn a_run_tells_its_file_its_days_and_how_it_came_out() {
        let items = strange(2);
        let Command::RunReconciliation(asked) = reconcile(1, "a file", items.clone()) else { panic!() };
        let run = ReconciliationRun {
            format: asked.format,
            file_hash: asked.file_hash,
            from: asked.from,
            to: asked.to,
            currencies: asked.currencies.clone(),
            lines: 2,
            through_position: asked.through_position,
            counts: MatchCounts { missing_here: 2, ..MatchCounts::default() },
        };
        let ledger = Ledger::new().when(Command::RunReconciliation(asked)).then([
            Event::ReconciliationRun(run.clone()),
            Event::ReconciliationItems(ReconciliationItems { items }),
        ]);
        let known = found(&ledger, 1);
        assert_eq!((&known.run, known.shown.len(), known.stamp.version), (&run, 2, 2));
        let appended = ledger.appended();
        assert!(appended.iter().all(|event| event.draft.postings == JournalEntry::none()));
        assert_eq!(Reconciliation::fold(appended).as_ref(), Some(known));
        assert_eq!(Reconciliation::fold(&appended[1..]), None);
    }

    #[test]
    fn the_same_file_is_compared_once() {
        let first = Ledger::new().given(reconcile(1, "a file", strange(1)));
        let known = found(&first, 1).clone();
        let again = first.when(reconcile(2, "a file", strange(3))).then_nothing();
        assert_eq!(again.state.reconciliation(reconciliation(2)), None);
        let other = again.when(reconcile(2, "another file", Vec::new())).then_types(["reconciliation.run"]);
        assert_eq!(found(&other, 1), &known);
        assert_eq!(found(&other, 2).run.lines, 0);
    }

    #[test]
    fn items_are_spread_over_events_and_the_first_of_them_shown() {
        let many = (3 * EVENT_ITEMS + 1) as u64;
        let ledger = Ledger::new().when(reconcile(1, "a file", strange(many)));
        let ids: Vec<_> = ledger.appended().iter().map(|event| event.draft.event_id).collect();
        assert_eq!(ids.len(), 5);
        for (index, event) in [(0, 1), (EVENT_ITEMS - 1, 1), (EVENT_ITEMS, 2), (3 * EVENT_ITEMS, 4)] {
            assert_eq!(event_of_item(ids[0], index), ids[event], "{index}");
        }
        let shown = &found(&ledger, 1).shown;
        assert_eq!(shown.len(), SHOWN_ITEMS);
        for (index, (event_id, item)) in shown.iter().enumerate() {
            assert_eq!((*event_id, item), (event_of_item(ids[0], index), &strange_line(index as u64 + 1)));
        }
    }

    #[test]
    fn no_event_of_a_run_is_larger_than_events_may_be() {
        // The longest reference: 255 characters of four bytes, and in clear of those that JSON writes longest.
        let boxed = sealed(&"x".repeat((12 + 2 + 255 * 6 + 16) / 3 * 4 + 4));
        let movement = Movement {
            event_id: EventId::new(Uuid::from_u128(u128::MAX)),
            position: 1 << 53,
            kind: MovementKind::MerchantDeposited,
            stream_id: StreamId::Merchant(merchant(1)),
            date: BEGIN.parse::<crate::Timestamp>().unwrap().day(),
            amount: eur(crate::money::BALANCE_MAX),
            reference: Some(Reference::Person(boxed.clone())),
        };
        let item = |number| {
            let Item { line, .. } = strange_line(number);
            let line = line.map(|line| ItemLine { reference: Some(boxed.clone()), ..line });
            Item { result: MatchResult::AmountDiffers, line, movement: Some(movement.clone()) }
        };
        let ledger = Ledger::new().when(reconcile(1, "a file", (1..=EVENT_ITEMS as u64).map(item).collect()));
        let largest = ledger.appended().iter().map(|event| event.canonical().unwrap().len()).max().unwrap();
        assert!((100_000..131_072).contains(&largest), "{largest}");
    }

    #[test]
    fn what_moves_money_at_the_bank_is_expected_there() {
        let told = |ledger: Ledger, all: &mut Vec<Envelope>| {
            all.extend_from_slice(ledger.appended());
            ledger
        };
        let mut all = Vec::new();
        let commands = [
            open_client(1),
            deposit(1, eur(10_000)),
            withdraw(1, eur(1_000)),
            open_merchant(1),
            deposit_to_merchant(1, eur(500)),
            request_payout(1, eur(300)),
            change_payout(1, crate::command::PayoutNews::Paid),
            change_payout(1, crate::command::PayoutNews::Returned),
            request_payout(2, eur(100)),
            change_payout(2, crate::command::PayoutNews::Failed),
        ];
        commands.into_iter().fold(Ledger::new(), |ledger, command| told(ledger.given(command), &mut all));
        let events = all.into_iter().map(|event| (event, Some("week 48".to_owned())));
        let found: Vec<_> = movements_of(events)
            .into_iter()
            .map(|movement| {
                (movement.kind.name(), movement.kind.direction(), movement.amount.amount, movement.reference)
            })
            .collect();
        let clear = || Some(Reference::Clear("week 48".to_owned()));
        assert_eq!(
            found,
            [
                ("client.deposited", Direction::In, 10_000, None),
                ("client.withdrawn", Direction::Out, 1_000, None),
                ("merchant.deposited", Direction::In, 500, None),
                ("payout.paid", Direction::Out, 300, clear()),
                ("payout.returned", Direction::In, 300, clear()),
            ]
        );
    }
}
