//! When requests are due.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;

/// How requests arrive.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Arrival {
    /// Each connection sends its next request when its last one is answered: closed loop.
    WhenAnswered,
    /// So many a second, however slow the answers are: open loop.
    AtRate(u32),
}

/// Hands out the numbers of requests with the moments from which they are timed, until its end.
pub(super) struct Schedule {
    arrival: Arrival,
    begin: Instant,
    end: Instant,
    next: AtomicU64,
    /// Permits for requests that are due. Tokio's timers tick in milliseconds, so a thread counts time.
    due: Semaphore,
}

impl Schedule {
    /// Begins now.
    ///
    /// # Errors
    ///
    /// There is no thread to be had for the timing.
    pub(super) fn begin(arrival: Arrival, begin: Instant, end: Instant) -> std::io::Result<Arc<Self>> {
        let schedule =
            Arc::new(Self { arrival, begin, end, next: AtomicU64::new(0), due: Semaphore::new(0) });
        if let Arrival::AtRate(rate) = arrival {
            let pacing = Arc::clone(&schedule);
            std::thread::Builder::new().name("pace".to_owned()).spawn(move || pacing.pace(rate))?;
        }
        Ok(schedule)
    }

    /// Waits for the next request to be due; `None` at the end.
    pub(super) async fn next(&self) -> Option<(u64, Instant)> {
        match self.arrival {
            Arrival::WhenAnswered => {
                let now = Instant::now();
                (now < self.end).then(|| (self.next.fetch_add(1, Ordering::Relaxed), now))
            }
            Arrival::AtRate(rate) => {
                self.due.acquire().await.ok()?.forget();
                let number = self.next.fetch_add(1, Ordering::Relaxed);
                Some((number, self.begin + offset(number, rate)))
            }
        }
    }

    fn pace(&self, rate: u32) {
        for number in 0.. {
            let due = self.begin + offset(number, rate);
            if due >= self.end {
                break;
            }
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            self.due.add_permits(1);
        }
        std::thread::sleep(self.end.saturating_duration_since(Instant::now()));
        // Those who wait for what is not yet handed out get it first.
        while self.due.available_permits() > 0 {
            std::thread::sleep(Duration::from_millis(1));
        }
        self.due.close();
    }
}

/// Tells how long after the beginning a request is due.
fn offset(number: u64, rate: u32) -> Duration {
    let nanos = u128::from(number) * 1_000_000_000 / u128::from(rate);
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_due_at_a_constant_rate_without_drift() {
        assert_eq!(offset(0, 3), Duration::ZERO);
        assert_eq!(offset(1, 3), Duration::from_nanos(333_333_333));
        assert_eq!(offset(3 * 86_400, 3), Duration::from_secs(86_400));
        assert_eq!(offset(100_000 * 3600, 100_000), Duration::from_secs(3600));
    }

    #[tokio::test]
    async fn an_open_loop_hands_out_all_that_is_due_and_times_it_from_then() {
        let begin = Instant::now();
        let end = begin + Duration::from_millis(100);
        let schedule = Schedule::begin(Arrival::AtRate(200), begin, end).unwrap();
        // As slow as an answer may be: nothing is left out, and nothing is due later for it.
        tokio::time::sleep(Duration::from_millis(150)).await;
        let mut handed_out = Vec::new();
        while let Some((number, due)) = schedule.next().await {
            handed_out.push((number, due - begin));
        }
        let expected: Vec<_> = (0..20).map(|number| (number, Duration::from_millis(5 * number))).collect();
        assert_eq!(handed_out, expected);
    }

    #[tokio::test]
    async fn a_closed_loop_ends_in_time() {
        let begin = Instant::now();
        let schedule =
            Schedule::begin(Arrival::WhenAnswered, begin, begin + Duration::from_millis(5)).unwrap();
        assert_eq!(schedule.next().await.unwrap().0, 0);
        assert_eq!(schedule.next().await.unwrap().0, 1);
        tokio::time::sleep(Duration::from_millis(6)).await;
        assert!(schedule.next().await.is_none());
    }
}
