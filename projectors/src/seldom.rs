//! What may happen thousands of times in a second is told seldom.

use std::time::{Duration, Instant};

/// How long to keep quiet.
const QUIET: Duration = Duration::from_secs(10);

/// Remembers when something was told last.
#[derive(Default)]
pub(crate) struct Seldom(Option<Instant>);

impl Seldom {
    /// Tells whether it is time to tell it, and takes it as told.
    pub(crate) fn is_time(&mut self) -> bool {
        let is_time = self.0.is_none_or(|told| told.elapsed() >= QUIET);
        if is_time {
            self.0 = Some(Instant::now());
        }
        is_time
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_told_once_in_a_while() {
        let mut seldom = Seldom::default();
        assert!(seldom.is_time() && !seldom.is_time());
        seldom.0 = Some(Instant::now() - QUIET);
        assert!(seldom.is_time());
    }
}
