//! What a load brings about, request by request, within its window.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::latency::Latencies;

/// Notes the requests of all connections. What begins before the window is warm-up; what ends behind it was
/// too late to count.
pub(super) struct Recorder {
    begin: Instant,
    end: Instant,
    recorded: Mutex<Recorded>,
}

/// What was noted.
#[derive(Clone, Default)]
pub(super) struct Recorded {
    /// By the kind of request, how long those took that began, or were due, in the window.
    pub(super) latencies: BTreeMap<&'static str, Latencies>,
    /// By second of the window, what ended in it.
    pub(super) seconds: Vec<Second>,
    /// How many requests ended in the window.
    pub(super) requests: u64,
    /// How many commands were in them: of a bulk request, all.
    pub(super) commands: u64,
    /// How long the bodies of the requests were, all together.
    pub(super) body_bytes: u64,
    /// How many steps ended in the window.
    pub(super) steps: u64,
    /// How many answers of status 503 there were, each of which was sent again.
    pub(super) unavailable: u64,
}

/// A second of a window.
#[derive(Clone)]
pub(super) struct Second {
    pub(super) commands: u64,
    pub(super) latencies: Latencies,
}

impl Recorder {
    pub(super) fn new(begin: Instant, end: Instant) -> Self {
        let count = usize::try_from((end - begin).as_millis().div_ceil(1000)).unwrap_or(0);
        let second = Second { commands: 0, latencies: Latencies::new() };
        let recorded = Recorded { seconds: vec![second; count], ..Recorded::default() };
        Self { begin, end, recorded: Mutex::new(recorded) }
    }

    /// Notes a request that was answered, with the number of its commands and the length of its body.
    pub(super) fn note(
        &self,
        kind: &'static str,
        (commands, body_bytes): (u64, u64),
        since: Instant,
        answered: Instant,
    ) {
        let took = answered.saturating_duration_since(since);
        let mut recorded = self.lock();
        if (self.begin..self.end).contains(&since) {
            recorded.latencies.entry(kind).or_insert_with(Latencies::new).note(took);
        }
        if (self.begin..self.end).contains(&answered) {
            recorded.requests += 1;
            recorded.commands += commands;
            recorded.body_bytes += body_bytes;
            let second = usize::try_from((answered - self.begin).as_secs()).unwrap_or(usize::MAX);
            if let Some(second) = recorded.seconds.get_mut(second) {
                second.commands += commands;
                second.latencies.note(took);
            }
        }
    }

    /// Notes that a step has ended.
    pub(super) fn note_step(&self) {
        if (self.begin..self.end).contains(&Instant::now()) {
            self.lock().steps += 1;
        }
    }

    /// Notes that a request was answered with 503.
    pub(super) fn note_unavailable(&self) {
        self.lock().unavailable += 1;
    }

    /// Tells how many commands ended in the last whole second, and its p99.
    pub(super) fn last_second(&self) -> Option<(u64, Duration)> {
        let now = usize::try_from(self.begin.elapsed().as_secs()).ok()?;
        let recorded = self.lock();
        let second = recorded.seconds.get(now.checked_sub(1)?)?;
        Some((second.commands, second.latencies.permille(990)))
    }

    /// Returns what was noted so far.
    pub(super) fn recorded(&self) -> Recorded {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Recorded> {
        self.recorded.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_happens_in_the_window_counts() {
        let begin = Instant::now();
        let at = |millis| begin + Duration::from_millis(millis);
        let recorder = Recorder::new(at(1000), at(2500));
        recorder.note("a", (1, 7), at(900), at(950)); // warm-up
        recorder.note("a", (1, 7), at(990), at(1010)); // begun in the warm-up: counts, but its latency does not
        recorder.note("a", (1, 7), at(1100), at(1200));
        recorder.note("b", (1000, 900), at(2000), at(2300));
        recorder.note("a", (1, 7), at(2400), at(2600)); // ended too late: its latency counts, or stalls would be lost
        let recorded = recorder.recorded();
        assert_eq!((recorded.requests, recorded.commands, recorded.body_bytes), (3, 1002, 914));
        let per_second: Vec<_> = recorded.seconds.iter().map(|second| second.commands).collect();
        assert_eq!(per_second, [2, 1000]);
        assert_eq!(recorded.latencies["a"].count(), 2);
        assert_eq!(recorded.latencies["a"].permille(1000).as_millis(), 200);
        assert_eq!(recorded.latencies["b"].count(), 1);
    }
}
