//! What the last batches knew: a memo that saves look-ups, and is never trusted past another writer.

use event_store::reader::Head;
use ledger_core::payment::{Dispute, Outcome};
use ledger_core::state::{Key, Record};
use ledger_core::{LeafHash, State};
use lru::LruCache;

/// How large the memo may grow, in bytes of its records.
const BYTES_MAX: usize = 64 * 1024 * 1024;

/// Records as they were after the batch that this process committed last.
///
/// Valid only while the log's head is that batch's: if another process has appended, the generation is
/// counted up, and older entries are looked up again when they are needed.
#[derive(Debug)]
pub struct Memo {
    entries: LruCache<Key, Entry>,
    bytes: usize,
    generation: u64,
    head: (u64, LeafHash),
}

#[derive(Debug)]
struct Entry {
    record: Option<Record>,
    generation: u64,
    bytes: usize,
}

impl Memo {
    /// Begins with nothing: no start replays anything.
    pub fn new() -> Self {
        Self { entries: LruCache::unbounded(), bytes: 0, generation: 0, head: (0, LeafHash::ZERO) }
    }

    /// Compares the locked log's head with what this process wrote last.
    pub fn check(&mut self, head: Head) {
        let head = (head.position, head.leaf_hash);
        if head != self.head {
            self.generation += 1;
            self.head = head;
        }
    }

    /// Finds a record, or that there is none; `None` if it must be looked up.
    pub fn find(&mut self, key: &Key) -> Option<Option<Record>> {
        let entry = self.entries.get(key)?;
        (entry.generation == self.generation).then(|| entry.record.clone())
    }

    /// Takes over what a committed batch knew; its last event is the new head.
    pub fn absorb(&mut self, state: State, head: (u64, LeafHash)) {
        self.head = head;
        for (key, record) in state.into_records() {
            let bytes = size(record.as_ref());
            self.bytes += bytes;
            if let Some(old) = self.entries.put(key, Entry { record, generation: self.generation, bytes }) {
                self.bytes -= old.bytes;
            }
        }
        while self.bytes > BYTES_MAX {
            let Some((_, oldest)) = self.entries.pop_lru() else { break };
            self.bytes -= oldest.bytes;
        }
    }

    /// Doubts everything, after a row was found to be other than remembered: it is looked up again.
    pub const fn distrust(&mut self) {
        self.generation += 1;
    }
}

/// Estimates what a record takes, with its place in the map.
fn size(record: Option<&Record>) -> usize {
    const PLACE: usize = 160;
    PLACE
        + match record {
            None => 0,
            Some(Record::Payment(payment)) => {
                let details = &payment.details;
                let boxes = [&details.description, &details.metadata];
                let evidence = match &payment.outcome {
                    Outcome::Approved(amounts) => amounts.disputes.iter().map(size_of_dispute).sum(),
                    Outcome::Declined { .. } => 0,
                };
                768 + evidence
                    + boxes
                        .iter()
                        .filter_map(|sealed| sealed.as_ref())
                        .map(|sealed| sealed.boxed.len())
                        .sum::<usize>()
            }
            Some(Record::Client(_) | Record::Merchant(_)) => 1024,
            Some(Record::MerchantBalance(balance)) => 128 + 48 * balance.unsettled.len(),
            Some(Record::Payout(_) | Record::Settlement(_) | Record::Correction(_)) => 512,
            Some(Record::Reconciliation(run)) => 512 + 1024 * run.shown.len(),
            Some(
                Record::Card(_)
                | Record::CardOf(_)
                | Record::ApiKey(_)
                | Record::ClientBalance(_)
                | Record::CorrectionOf(_)
                | Record::FxRate(_)
                | Record::ReconciliationOf(_),
            ) => 128,
        }
}

fn size_of_dispute(dispute: &Dispute) -> usize {
    512 + dispute.evidence.as_ref().map_or(0, |(_, text)| text.boxed.len())
}

#[cfg(test)]
mod tests {
    use ledger_core::ids::CardId;
    use uuid::Uuid;

    use super::*;

    fn head(position: u64, leaf: u8) -> Head {
        Head { position, leaf_hash: LeafHash([leaf; 32]), recorded_at: None }
    }

    fn knowing(number: u128) -> (Key, State) {
        let key = Key::Card(CardId::new(Uuid::from_u128(number)));
        let mut state = State::default();
        state.learn(key, None);
        (key, state)
    }

    #[test]
    fn is_valid_while_nobody_else_has_appended() {
        let mut memo = Memo::new();
        let (key, state) = knowing(1);
        memo.check(head(0, 0));
        memo.absorb(state, (2, LeafHash([2; 32])));
        memo.check(head(2, 2));
        assert_eq!(memo.find(&key), Some(None), "known to be absent");
        memo.check(head(3, 3));
        assert_eq!(memo.find(&key), None, "another has appended");
        memo.check(head(2, 2));
        assert_eq!(memo.find(&key), None, "what was doubted once is looked up again");
    }

    #[test]
    fn another_history_at_the_same_position_is_another_head() {
        let mut memo = Memo::new();
        let (key, state) = knowing(1);
        memo.absorb(state, (2, LeafHash([2; 32])));
        memo.check(head(2, 9));
        assert_eq!(memo.find(&key), None);
    }

    #[test]
    fn forgets_the_oldest_when_it_is_full() {
        let mut memo = Memo::new();
        let places = u128::try_from(BYTES_MAX / size(None)).unwrap();
        for number in 0..places + 10 {
            let (_, state) = knowing(number);
            memo.absorb(state, (1, LeafHash::ZERO));
        }
        memo.check(head(1, 0));
        assert_eq!((memo.find(&knowing(0).0), memo.find(&knowing(places).0)), (None, Some(None)));
        assert!(memo.bytes <= BYTES_MAX);
    }
}
