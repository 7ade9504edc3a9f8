//! Pauses that grow while failures go on.

use std::time::Duration;

/// How long to wait after a failure: twice as long each time, up to a limit.
#[derive(Clone, Copy, Debug)]
pub struct Pause {
    first: Duration,
    longest: Duration,
    last: Option<Duration>,
}

impl Pause {
    /// Begins before the first failure.
    pub const fn new(first: Duration, longest: Duration) -> Self {
        Self { first, longest, last: None }
    }

    /// Tells whether the next failure is the first one: the one to be told of.
    pub const fn is_first(&self) -> bool {
        self.last.is_none()
    }

    /// Returns the pause after another failure.
    pub fn longer(&mut self) -> Duration {
        let next = self.last.map_or(self.first, |last| (last * 2).min(self.longest));
        self.last = Some(next);
        next
    }

    /// Forgets the failures.
    pub const fn reset(&mut self) {
        self.last = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_their_limit() {
        let mut pause = Pause::new(Duration::from_millis(50), Duration::from_secs(1));
        let pauses: Vec<_> = (0..8).map(|_| pause.longer().as_millis()).collect();
        assert_eq!(pauses, [50, 100, 200, 400, 800, 1000, 1000, 1000]);
        pause.reset();
        assert!(pause.is_first());
    }
}
