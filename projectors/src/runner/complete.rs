//! Makes the indexes that generations were folded without, each in a task of its own: a live read model goes on
//! while those of a rebuilt one are made.

use std::error::Error;
use std::sync::Arc;

use event_store::error::is_transient;
use tokio_util::task::AbortOnDropHandle;

use super::{Members, Runner, has_code};
use crate::generation;
use crate::running::Running;

/// Somebody has ended the statement.
const CANCELLED: &str = "57014";

impl Runner {
    /// Begins to complete those of a group that lack indexes, and returns the others.
    pub(super) fn complete<'r, 'a>(&self, group: Members<'r, 'a>) -> Members<'r, 'a> {
        let (whole, bare): (Members<'r, 'a>, Members<'r, 'a>) =
            group.into_iter().partition(|one| one.indexed);
        for one in bare {
            let (read, turns) = (self.read.clone(), Arc::clone(&self.completing));
            let (model, generation) = (one.projection.model(), one.generation);
            let completing = async move {
                let _turn = turns.acquire().await;
                generation::complete(&read, model, generation).await
            };
            one.completing = Some(AbortOnDropHandle::new(tokio::spawn(completing)));
        }
        whole
    }

    /// Lets those go on that are complete now.
    pub(super) async fn take_up_completed(&self, running: &mut [Running<'_>]) {
        for one in running {
            let Some(done) = one.completing.take_if(|completing| completing.is_finished()) else { continue };
            let done = done.await.unwrap_or_else(|panic| Err(sqlx::Error::Protocol(panic.to_string())));
            match (done, one.checkpoint) {
                (Ok(()), _) => one.indexed = true,
                (Err(error), Some(at)) if !is_transient(&error) && !has_code(&error, CANCELLED) => {
                    self.stop(one, at, &format!("its indexes can't be made: {error}")).await;
                }
                (Err(error), _) => {
                    tracing::warn!(error = &error as &dyn Error, "a projection is completed later");
                    one.wait();
                }
            }
        }
    }
}
