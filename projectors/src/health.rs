//! Which projections stand still, for whoever answers for the process.

use std::fmt;

use tokio::sync::watch;

use crate::generation::Generation;

/// A projection that was stopped, since going on would fold another history in.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Stopped {
    /// Which one.
    pub generation: Generation,
    /// Why.
    pub reason: String,
}

impl fmt::Display for Stopped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "projection {} is stopped: {}", self.generation.name, self.reason)
    }
}

/// Tells how a runner is. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Health(pub(crate) watch::Receiver<Vec<Stopped>>);

impl Health {
    /// Returns the projections that are stopped.
    pub fn stopped(&self) -> Vec<Stopped> {
        self.0.borrow().clone()
    }
}
