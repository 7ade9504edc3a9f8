//! Matching: which line of a statement is which movement of the ledger.
//!
//! In passes, each over what those before it have left: a line and a movement with the same reference and
//! amount; with the same reference only; with the same amount, where one of the two has no reference that
//! says anything. A pair is of one direction and currency, and at most [`TOLERANCE_DAYS`] apart. In a pass
//! the pairs of one day come first, then those a day apart, and so on; what is equal is taken in the order
//! of what lines say and of the log, so that the order of a file's lines decides nothing.
//!
//! References are compared by their letters and digits, whatever their case: banks drop and replace other
//! characters.

use std::collections::{HashMap, HashSet, VecDeque};

use super::item::MatchResult;
use super::movement::Expected;
use super::statement::{Direction, Line, Statement};
use crate::money::{Currency, Money};
use crate::time::Day;

/// How many days a bank's date and the ledger's may be apart: the ledger knows UTC days, and banks book on
/// their working days, a long weekend later at worst.
pub const TOLERANCE_DAYS: u32 = 5;

/// What became of a line, a movement, or a pair of them; both by their index.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Pairing {
    /// How it came out.
    pub result: MatchResult,
    /// The line.
    pub line: Option<usize>,
    /// The movement.
    pub movement: Option<usize>,
}

/// Pairs the lines of a statement with movements, which come in the log's order. Each line is in exactly one
/// pairing; each movement in at most one, and in one if it is of a day and a currency that the statement
/// speaks of. The differences come first, then in the order of lines and movements.
pub fn reconcile(statement: &Statement, movements: &[Expected]) -> Vec<Pairing> {
    let mut matching = Matching::begin(&statement.lines, movements);
    for nth in 0..REFERENCES {
        matching.pass(
            MatchResult::Matched,
            |line| Some((line.direction(), line.money(), line.reference.clone()?)),
            |movement| Some((movement.direction(), movement.money(), movement.reference(nth)?)),
        );
    }
    for nth in 0..REFERENCES {
        matching.pass(
            MatchResult::AmountDiffers,
            |line| Some((line.direction(), line.currency(), line.reference.clone()?)),
            |movement| Some((movement.direction(), movement.currency(), movement.reference(nth)?)),
        );
    }
    matching.pass(
        MatchResult::Matched,
        |line| line.says_something().then(|| (line.direction(), line.money())),
        |movement| movement.references.is_empty().then(|| (movement.direction(), movement.money())),
    );
    matching.pass(
        MatchResult::Matched,
        |line| (!line.says_something()).then(|| (line.direction(), line.money())),
        |movement| Some((movement.direction(), movement.money())),
    );
    matching.finish(statement)
}

/// How many references a movement has at most.
const REFERENCES: usize = 2;

/// Keeps what banks leave of a reference; `None` if that is nothing.
fn normal(reference: &str) -> Option<String> {
    let kept = reference.chars().filter(|letter| letter.is_alphanumeric());
    let kept: String = kept.flat_map(char::to_lowercase).collect();
    (!kept.is_empty()).then_some(kept)
}

struct KnownLine<'a> {
    line: &'a Line,
    reference: Option<String>,
}

impl KnownLine<'_> {
    const fn direction(&self) -> Direction {
        self.line.direction
    }

    const fn money(&self) -> Money {
        self.line.amount
    }

    const fn currency(&self) -> Currency {
        self.line.amount.currency
    }

    /// Tells whether the reference is one that could name a movement.
    const fn says_something(&self) -> bool {
        self.reference.is_some() && !self.line.is_banks_own
    }

    /// What lines are ordered by; the number only parts those that say the same.
    fn order(&self) -> (Day, &Option<String>, bool, i64, u64) {
        let Line { date, is_banks_own, amount, number, .. } = self.line;
        (*date, &self.reference, *is_banks_own, amount.amount, *number)
    }
}

struct KnownMovement<'a> {
    expected: &'a Expected,
    references: Vec<String>,
}

impl KnownMovement<'_> {
    const fn direction(&self) -> Direction {
        self.expected.movement.kind.direction()
    }

    const fn money(&self) -> Money {
        self.expected.movement.amount
    }

    const fn currency(&self) -> Currency {
        self.expected.movement.amount.currency
    }

    const fn date(&self) -> Day {
        self.expected.movement.date
    }

    fn reference(&self, nth: usize) -> Option<String> {
        self.references.get(nth).cloned()
    }
}

/// Lines and movements while they are paired.
struct Matching<'a> {
    lines: Vec<KnownLine<'a>>,
    movements: Vec<KnownMovement<'a>>,
    /// Indexes of the lines that are left, in the order in which they are taken.
    left: Vec<usize>,
    taken: HashSet<usize>,
    pairings: Vec<Pairing>,
}

impl<'a> Matching<'a> {
    fn begin(lines: &'a [Line], movements: &'a [Expected]) -> Self {
        let line = |line: &'a Line| KnownLine { line, reference: line.reference.as_deref().and_then(normal) };
        let movement = |expected: &'a Expected| {
            let references = expected.references.iter().filter_map(|reference| normal(reference)).collect();
            KnownMovement { expected, references }
        };
        let lines: Vec<_> = lines.iter().map(line).collect();
        let mut left: Vec<usize> = (0..lines.len()).collect();
        left.sort_by(|a, b| lines[*a].order().cmp(&lines[*b].order()));
        let movements = movements.iter().map(movement).collect();
        Self { lines, movements, left, taken: HashSet::new(), pairings: Vec::new() }
    }

    /// Pairs lines and movements of one key, the nearest dates first. What has no key takes no part.
    fn pass<K: Eq + std::hash::Hash>(
        &mut self,
        result: MatchResult,
        line_key: impl Fn(&KnownLine<'_>) -> Option<K>,
        movement_key: impl Fn(&KnownMovement<'_>) -> Option<K>,
    ) {
        let mut free: HashMap<(K, Day), VecDeque<usize>> = HashMap::new();
        for (index, movement) in self.movements.iter().enumerate() {
            if let Some(key) = movement_key(movement).filter(|_| !self.taken.contains(&index)) {
                free.entry((key, movement.date())).or_default().push_back(index);
            }
        }
        for days in 0..=TOLERANCE_DAYS {
            let mut still = Vec::with_capacity(self.left.len());
            for index in std::mem::take(&mut self.left) {
                let line = &self.lines[index];
                let date = line.line.date;
                let mut find = |date| free.get_mut(&(line_key(line)?, date))?.pop_front();
                let found = find(date.minus(days)).or_else(|| find(date.plus(days)));
                match found {
                    Some(movement) => {
                        self.taken.insert(movement);
                        self.pairings.push(Pairing { result, line: Some(index), movement: Some(movement) });
                    }
                    None => still.push(index),
                }
            }
            self.left = still;
        }
    }

    /// Names what nothing was paired with.
    fn finish(mut self, statement: &Statement) -> Vec<Pairing> {
        let say = |line: &KnownLine<'_>| Some((line.direction(), line.money(), line.reference.clone()?));
        let matched: HashSet<_> = self
            .pairings
            .iter()
            .filter(|pairing| pairing.result == MatchResult::Matched)
            .filter_map(|pairing| say(&self.lines[pairing.line?]))
            .collect();
        for index in std::mem::take(&mut self.left) {
            let repeats = say(&self.lines[index]).is_some_and(|said| matched.contains(&said));
            let result = if repeats { MatchResult::Duplicate } else { MatchResult::MissingHere };
            self.pairings.push(Pairing { result, line: Some(index), movement: None });
        }
        let window = statement.from..=statement.to;
        let is_due = |movement: &KnownMovement<'_>| {
            window.contains(&movement.date()) && statement.currencies.contains(&movement.currency())
        };
        let missing = self.movements.iter().enumerate();
        let missing = missing.filter(|(index, movement)| !self.taken.contains(index) && is_due(movement));
        self.pairings.extend(missing.map(|(index, _)| Pairing {
            result: MatchResult::MissingThere,
            line: None,
            movement: Some(index),
        }));
        // In the order of the file and of the log.
        self.pairings.sort_by_key(|pairing| {
            let number = pairing.line.map(|index| self.lines[index].line.number);
            (pairing.result, number, pairing.movement)
        });
        self.pairings
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;
    use crate::ids::{EventId, PayoutId, StreamId};
    use crate::reconciliation::item::MatchCounts;
    use crate::reconciliation::movement::{Movement, MovementKind};
    use crate::testing::{client, eur, jpy};
    use MatchResult::*;

    /// A day of November 2026.
    fn day(day: u32) -> Day {
        format!("2026-11-{day:02}").parse().unwrap()
    }

    /// A line of a November day; an amount below zero went out.
    fn line(number: u64, on: u32, amount: i64, reference: &str) -> Line {
        let direction = if amount < 0 { Direction::Out } else { Direction::In };
        let reference = (!reference.is_empty()).then(|| reference.to_owned());
        Line { number, date: day(on), direction, amount: eur(amount.abs()), reference, is_banks_own: false }
    }

    fn by_bank(line: Line) -> Line {
        Line { is_banks_own: true, ..line }
    }

    fn moved(position: u64, on: u32, amount: i64, kind: MovementKind, references: &[&str]) -> Expected {
        let stream_id = StreamId::Client(client(1));
        let movement = Movement {
            event_id: EventId::new(Uuid::from_u128(position.into())),
            position,
            kind,
            stream_id,
            date: day(on),
            amount: eur(amount.abs()),
            reference: None,
        };
        Expected { movement, references: references.iter().map(|text| (*text).to_owned()).collect() }
    }

    /// A movement of a November day; an amount below zero went out.
    fn cash(position: u64, on: u32, amount: i64, reference: &str) -> Expected {
        let kind = if amount < 0 { MovementKind::ClientWithdrawn } else { MovementKind::ClientDeposited };
        let references: &[&str] = if reference.is_empty() { &[] } else { &[reference] };
        moved(position, on, amount, kind, references)
    }

    /// A payout has its id as a reference, and maybe the merchant's.
    fn payout(position: u64, on: u32, amount: i64, references: &[&str]) -> Expected {
        moved(position, on, amount, MovementKind::PayoutPaid, references)
    }

    /// A statement of November, in EUR.
    fn november(lines: Vec<Line>) -> Statement {
        Statement { from: day(1), to: day(30), currencies: [eur(0).currency].into(), lines }
    }

    /// Each line's number and each movement's position by how they came out.
    #[track_caller]
    fn check(
        lines: impl Into<Vec<Line>>,
        movements: impl Into<Vec<Expected>>,
        expected: impl Into<Vec<(MatchResult, u64, u64)>>,
    ) {
        let (statement, movements) = (november(lines.into()), movements.into());
        let found: Vec<_> = reconcile(&statement, &movements)
            .into_iter()
            .map(|Pairing { result, line, movement }| {
                let number = line.map_or(0, |index| statement.lines[index].number);
                (result, number, movement.map_or(0, |index| movements[index].movement.position))
            })
            .collect();
        assert_eq!(found, expected.into());
    }

    #[test]
    fn one_of_each() {
        check(
            [
                line(2, 3, 10_000, "salary"),
                line(3, 3, 10_000, "salary"),
                line(4, 4, -2_000, "rent"),
                line(5, 5, 700, "who knows"),
            ],
            [cash(1, 3, 10_000, "salary"), cash(2, 3, -2_100, "rent"), cash(3, 6, 900, "gift")],
            [
                (MissingHere, 5, 0),
                (MissingThere, 0, 3),
                (AmountDiffers, 4, 2),
                (Duplicate, 3, 0),
                (Matched, 2, 1),
            ],
        );
    }

    #[test]
    fn nothing_and_nothing_agree() {
        check([], [], []);
    }

    #[test]
    fn the_nearest_day_within_the_tolerance_is_taken() {
        for (apart, result) in [(0, Matched), (5, Matched)] {
            check([line(1, 10 + apart, 5, "a")], [cash(1, 10, 5, "a")], [(result, 1, 1)]);
            check([line(1, 10, 5, "a")], [cash(1, 10 + apart, 5, "a")], [(result, 1, 1)]);
        }
        let too_far = [(MissingHere, 1, 0), (MissingThere, 0, 1)];
        check([line(1, 16, 5, "a")], [cash(1, 10, 5, "a")], too_far);
        check([line(1, 16, 5, "a")], [cash(1, 10, 6, "a")], too_far);
        check([line(1, 16, 5, "")], [cash(1, 10, 5, "")], too_far);
        check(
            [line(1, 13, 5, "a"), line(2, 10, 5, "a")],
            [cash(1, 10, 5, "a"), cash(2, 12, 5, "a")],
            [(Matched, 1, 2), (Matched, 2, 1)],
        );
    }

    #[test]
    fn direction_and_currency_part_what_else_is_alike() {
        check([line(1, 3, 5, "a")], [cash(1, 3, -5, "a")], [(MissingHere, 1, 0), (MissingThere, 0, 1)]);
        let mut yen = cash(1, 3, 5, "a");
        yen.movement.amount = jpy(5);
        // A statement in EUR misses no JPY.
        check([line(1, 3, 5, "a")], [yen], [(MissingHere, 1, 0)]);
    }

    #[test]
    fn references_are_compared_by_letters_and_digits() {
        check([line(1, 3, 5, "inv 2026/17")], [cash(1, 3, 5, "INV-2026-17")], [(Matched, 1, 1)]);
        check([line(1, 3, 5, "Ärger")], [cash(1, 3, 5, "ÄRGER.")], [(Matched, 1, 1)]);
        // Nothing is left of these, so they say nothing.
        check([line(1, 3, 5, "+++")], [cash(1, 3, 5, "---")], [(Matched, 1, 1)]);
    }

    #[test]
    fn a_payout_is_known_by_its_id_or_its_reference() {
        let id = PayoutId::new(Uuid::from_u128(7)).to_string();
        check([line(1, 3, -5, &id)], [payout(1, 3, 5, &[&id, "week 48"])], [(Matched, 1, 1)]);
        check([line(1, 3, -5, "Week 48")], [payout(1, 3, 5, &[&id, "week 48"])], [(Matched, 1, 1)]);
        check([line(1, 3, -4, "Week 48")], [payout(1, 3, 5, &[&id, "week 48"])], [(AmountDiffers, 1, 1)]);
        // The id leads to its own payout, whoever else could have been meant by the reference.
        check(
            [line(1, 3, -5, "week 48"), line(2, 3, -5, &id)],
            [payout(1, 3, 5, &[&id, "week 48"]), payout(2, 3, 5, &["po_other", "week 48"])],
            [(Matched, 1, 2), (Matched, 2, 1)],
        );
    }

    #[test]
    fn without_a_reference_on_either_side_the_amount_decides() {
        check([line(1, 3, 5, "")], [cash(1, 4, 5, "gift")], [(Matched, 1, 1)]);
        check([line(1, 3, 5, "gift")], [cash(1, 4, 5, "")], [(Matched, 1, 1)]);
        check([line(1, 3, 5, "gift")], [cash(1, 4, 5, "loan")], [(MissingHere, 1, 0), (MissingThere, 0, 1)]);
        // The bank's own number says nothing of the movement, unless the movement is known by it.
        check([by_bank(line(1, 3, 5, "ACSR 1"))], [cash(1, 4, 5, "loan")], [(Matched, 1, 1)]);
        let own = [by_bank(line(1, 3, 5, "ACSR 1")), line(2, 3, 5, "")];
        check(own, [cash(1, 3, 5, "loan"), cash(2, 8, 5, "acsr1")], [(Matched, 1, 2), (Matched, 2, 1)]);
    }

    #[test]
    fn a_reference_with_another_amount_comes_before_the_amount_alone() {
        check(
            [line(1, 3, 5, "a")],
            [cash(1, 3, 5, ""), cash(2, 3, 6, "a")],
            [(MissingThere, 0, 1), (AmountDiffers, 1, 2)],
        );
    }

    #[test]
    fn only_a_matched_line_is_repeated() {
        check(
            [
                line(1, 3, 5, "a"),
                line(2, 4, 5, "a"),
                line(3, 4, 6, "a"),
                line(4, 4, -5, "a"),
                line(5, 4, 5, ""),
            ],
            [cash(1, 3, 5, "a")],
            [
                (MissingHere, 3, 0),
                (MissingHere, 4, 0),
                (MissingHere, 5, 0),
                (Duplicate, 2, 0),
                (Matched, 1, 1),
            ],
        );
        // Two movements are no line too many.
        check(
            [line(1, 3, 5, "a"), line(2, 3, 5, "a")],
            [cash(1, 3, 5, "a"), cash(2, 3, 5, "a")],
            [(Matched, 1, 1), (Matched, 2, 2)],
        );
    }

    #[test]
    fn what_lies_outside_of_the_statements_days_is_not_missing_in_it() {
        let statement = |lines| Statement { from: day(10), to: day(12), ..november(lines) };
        let movements = [cash(1, 9, 5, "a"), cash(2, 10, 5, "b"), cash(3, 12, 5, "c"), cash(4, 13, 5, "d")];
        let missing: Vec<_> =
            reconcile(&statement(vec![]), &movements).iter().filter_map(|pairing| pairing.movement).collect();
        assert_eq!(missing, [1, 2]);
        // But a line may be of one that was recorded the day before.
        let matched = reconcile(&statement(vec![line(1, 10, 5, "a")]), &movements);
        let pair = Pairing { result: Matched, line: Some(0), movement: Some(0) };
        assert!(matched.contains(&pair) && matched.len() == 3, "{matched:?}");
    }

    #[test]
    fn many_of_a_kind_are_paired_in_no_time() {
        let lines: Vec<_> = (1..=5_000).map(|number| line(number, 3, 5, "")).collect();
        let movements: Vec<_> = (1..=20_000).map(|position| cash(position, 3, 5, "x")).collect();
        let counts = counts(&november(lines), &movements);
        assert_eq!((counts.matched, counts.missing_there), (5_000, 15_000));
    }

    fn counts(statement: &Statement, movements: &[Expected]) -> MatchCounts {
        MatchCounts::of(reconcile(statement, movements).iter().map(|pairing| pairing.result))
    }

    /// Few references, amounts and days, so that much is alike.
    fn reference() -> impl Strategy<Value = &'static str> {
        prop::sample::select(vec!["", "a", "A", "b", "c", "..."])
    }

    fn amount() -> impl Strategy<Value = i64> {
        prop::sample::select(vec![-2, -1, 1, 2])
    }

    fn lines() -> impl Strategy<Value = Vec<Line>> {
        let said = (1_u32..=15, amount(), reference(), any::<bool>());
        prop::collection::vec(said, 0..12).prop_map(|lines| {
            let numbered = (1..).zip(lines);
            let made = numbered.map(|(number, (on, amount, reference, is_banks_own))| Line {
                is_banks_own,
                ..line(number, on, amount, reference)
            });
            made.collect()
        })
    }

    fn movements() -> impl Strategy<Value = Vec<Expected>> {
        let movement = (1_u32..=15, amount(), reference(), reference());
        prop::collection::vec(movement, 0..12).prop_map(|movements| {
            let placed = (1..).zip(movements);
            let made = placed.map(|(position, (on, amount, first, second))| match amount {
                2.. => cash(position, on, amount, first),
                _ => {
                    let known: Vec<_> = [first, second].into_iter().filter(|text| !text.is_empty()).collect();
                    let kind =
                        if amount < 0 { MovementKind::PayoutPaid } else { MovementKind::PayoutReturned };
                    moved(position, on, amount, kind, &known)
                }
            });
            made.collect()
        })
    }

    proptest! {
        /// Every line is in one pairing, every movement in at most one, and in one if the statement speaks of
        /// its day; each pairing is what it says, and the counts add up.
        #[test]
        fn everything_ends_in_one_item(lines in lines(), movements in movements(), from in 1_u32..15, days in 0_u32..15) {
            let statement = Statement { from: day(from), to: day(from + days), ..november(lines) };
            let pairings = reconcile(&statement, &movements);
            let mut paired: Vec<_> = pairings.iter().filter_map(|pairing| pairing.line).collect();
            paired.sort_unstable();
            prop_assert_eq!(paired, (0..statement.lines.len()).collect::<Vec<_>>());
            let cited: Vec<_> = pairings.iter().filter_map(|pairing| pairing.movement).collect();
            for (index, expected) in movements.iter().enumerate() {
                let times = cited.iter().filter(|cited| **cited == index).count();
                let is_due = (statement.from..=statement.to).contains(&expected.movement.date);
                prop_assert!(times <= 1 && (times == 1 || !is_due), "{}: {}", index, times);
            }
            for Pairing { result, line, movement } in &pairings {
                let line = line.map(|index| &statement.lines[index]);
                let movement = movement.map(|index| &movements[index].movement);
                let is_so = match (result, line, movement) {
                    (Matched | AmountDiffers, Some(line), Some(movement)) => {
                        line.direction == movement.kind.direction()
                            && (line.amount == movement.amount) == (*result == Matched)
                            && line.date <= movement.date.plus(TOLERANCE_DAYS)
                            && movement.date <= line.date.plus(TOLERANCE_DAYS)
                    }
                    (MissingHere | Duplicate, Some(_), None) => true,
                    (MissingThere, None, Some(movement)) => {
                        (statement.from..=statement.to).contains(&movement.date)
                    }
                    _ => false,
                };
                prop_assert!(is_so, "{result:?} {line:?} {movement:?}");
            }
            prop_assert!(pairings.is_sorted_by_key(|pairing| pairing.result));
            let counts = MatchCounts::of(pairings.iter().map(|pairing| pairing.result));
            let of_lines = counts.matched + counts.amount_differs + counts.duplicate + counts.missing_here;
            prop_assert_eq!(of_lines, statement.lines.len() as u64);
            prop_assert_eq!(of_lines + counts.missing_there, pairings.len() as u64);
        }

        /// The order in which a bank lists its lines decides nothing that is counted.
        #[test]
        fn the_order_of_lines_changes_no_count(
            (lines, shuffled) in lines().prop_flat_map(|lines| (Just(lines.clone()), Just(lines).prop_shuffle())),
            movements in movements(),
        ) {
            let renumbered = (1..).zip(shuffled).map(|(number, line)| Line { number, ..line }).collect();
            let before = counts(&november(lines), &movements);
            prop_assert_eq!(counts(&november(renumbered), &movements), before);
        }
    }
}
