//! What the runner tells of its generations: who is stopped, who is how far behind.

use std::collections::BTreeSet;

use event_store::error::{READ_LIMIT, within};
use event_store::reader::Checkpoint;
use metrics::gauge;

use super::Runner;
use crate::checkpoint;
use crate::generation::Generation;
use crate::health::Stopped;
use crate::running::Running;

impl Runner {
    /// Stops a generation: what it would apply is another history, or can't be read.
    pub(super) async fn stop(&self, one: &mut Running<'_>, at: Checkpoint, reason: &str) {
        match within(READ_LIMIT, checkpoint::stop(&self.read, one.generation, at, reason)).await {
            Ok(true) => {
                tracing::error!(projection = one.generation.name, reason, "a projection is stopped");
                one.stopped = Some(reason.to_owned());
                self.stopped.send_modify(|stopped| {
                    stopped.push(Stopped { generation: one.generation, reason: reason.to_owned() });
                });
            }
            // The read models were restored, too, or others have moved it.
            Ok(false) => one.checkpoint = None,
            // It is found again, and said then.
            Err(_) => one.wait(),
        }
    }

    pub(super) fn tell_stopped(&self, running: &[Running<'_>]) {
        let stopped = running.iter().filter_map(|one| {
            let reason = one.stopped.clone()?;
            Some(Stopped { generation: one.generation, reason })
        });
        let stopped: Vec<Stopped> = stopped.collect();
        self.stopped.send_if_modified(|known| {
            let changed = *known != stopped;
            *known = stopped;
            changed
        });
    }

    /// Tells the metrics how far generations are behind the log, and how old the oldest event is that each
    /// has not applied: those that are stopped, too, and with the read models away, from where they stood.
    pub(super) async fn tell(&self, running: &[Running<'_>]) {
        let Ok(head) = self.log.head().await else { return };
        let places: BTreeSet<u64> = running.iter().filter_map(|one| Some(one.checkpoint?.position)).collect();
        for place in places {
            let Ok(age) = self.log.age_behind(place).await else { return };
            let lag = head.position.saturating_sub(place);
            for one in running.iter().filter(|one| one.checkpoint.is_some_and(|at| at.position == place)) {
                let Generation { name, number } = one.generation;
                let labels = [("projection", name.to_owned()), ("generation", number.to_string())];
                gauge!("quittance_projection_position", &labels).set(place as f64);
                gauge!("quittance_projection_lag_events", &labels).set(lag as f64);
                gauge!("quittance_projection_age_seconds", &labels).set(age);
            }
        }
    }
}
