//! One pass over the log: each row is checked, folded in, and compared with what was derived from it.

use super::event::Event;
use super::ledger::{Desk, Ledger};
use super::log::{Chain, Leaf};
use super::outcome::Outcomes;
use super::report::{Findings, Place, Report};
use super::snapshot::Snapshot;
use super::subject::Vault;

/// The pass, and all that it compares with.
#[derive(Default)]
pub(super) struct Fold {
    pub(super) vault: Vault,
    pub(super) outcomes: Outcomes,
    pub(super) snapshots: Vec<Snapshot>,
    pub(super) findings: Findings,
    chain: Chain,
    ledger: Ledger,
    previous: Option<Event>,
    events: u64,
    postings: u64,
}

impl Fold {
    /// Begins a pass that compares with nothing yet.
    pub(super) fn new(vault: Vault) -> Self {
        Self { vault, ..Self::default() }
    }

    /// Compares what stands before the first event.
    pub(super) fn begin(&mut self) {
        self.reach(0, &[0; 32]);
    }

    /// Takes the next row of the log.
    pub(super) fn take(&mut self, mut leaf: Leaf) {
        self.events += 1;
        let hash = std::mem::take(&mut leaf.hash);
        let event = self.chain.follow(leaf, &mut self.findings);
        if let Some(event) = &event {
            self.postings += event.postings.len() as u64;
            let mut desk = Desk {
                check: self.findings.at(event.position),
                vault: &self.vault,
                previous: self.previous.as_ref(),
                due: None,
            };
            let effects = self.ledger.apply(event, &mut desk);
            self.outcomes.follow(self.previous.as_ref(), event, &mut self.findings);
            self.snapshots.iter_mut().for_each(|snapshot| snapshot.observe(event, &effects, &self.ledger));
        }
        self.reach(self.chain.position, &hash);
        self.previous = event;
    }

    fn reach(&mut self, position: u64, leaf_hash: &[u8]) {
        for snapshot in &mut self.snapshots {
            snapshot.reach(position, leaf_hash, &self.ledger, &mut self.findings);
        }
    }

    /// Ends the pass at the head that was seen when it began, and says what was checked.
    pub(super) fn finish(&mut self, head: u64) -> Report {
        if let Some(last) = &self.previous {
            self.outcomes.end_request(last, &mut self.findings);
        }
        if self.ledger.duty.is_some() {
            self.findings.at(self.chain.position).note(
                "what follows",
                "the next event of its command",
                "nothing",
            );
        }
        if self.chain.position != head {
            self.findings.at(head).note("position", "an event", "none");
        }
        for subject in self.vault.wrapped.keys() {
            if !self.ledger.streams.contains_key(subject) {
                let place =
                    Place::Row { table: "subject_keys".to_owned(), key: format!("subject {subject}") };
                self.findings.note(place, "row", "one of a stream of the log", "another");
            }
        }
        let models = self.snapshots.iter().map(|snapshot| snapshot.finish(&mut self.findings)).collect();
        Report {
            head,
            events: self.events,
            streams: self.ledger.streams.len() as u64,
            postings: self.postings,
            outcomes: self.outcomes.count,
            subject_keys: self.vault.wrapped.len() as u64,
            personal: self.vault.master.is_some(),
            models,
            findings: Vec::new(),
            findings_total: 0,
        }
    }
}
