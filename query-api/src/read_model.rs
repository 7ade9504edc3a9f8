//! Snapshots of read models.

use std::sync::Arc;

use api_kit::problem::ApiError;
use event_store::read_model::{self, Live, ReadModel};
use sqlx::{PgPool, Postgres, QueryBuilder, Transaction};

use crate::watcher::{Watched, Watcher};

/// A read model.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Model {
    /// Clients, their cards and their accounts.
    ClientAccount,
    /// Merchants and their accounts.
    MerchantAccount,
    /// The house's accounts.
    HouseAccount,
    /// Payments, refunds and disputes.
    Payment,
    /// Settlements and their items.
    Settlement,
    /// Payouts.
    Payout,
    /// Corrections.
    Correction,
    /// Rates between currencies.
    FxRate,
    /// Bank statements, compared with the ledger.
    Reconciliation,
    /// What clients and merchants are told.
    Notification,
}

/// How many there are.
const MODELS: usize = 10;

impl Model {
    pub(crate) const ALL: [Self; MODELS] = [
        Self::ClientAccount,
        Self::MerchantAccount,
        Self::HouseAccount,
        Self::Payment,
        Self::Settlement,
        Self::Payout,
        Self::Correction,
        Self::FxRate,
        Self::Reconciliation,
        Self::Notification,
    ];

    /// Returns what projectors make of it.
    const fn tables(self) -> ReadModel {
        match self {
            Self::ClientAccount => read_model::CLIENT_ACCOUNT,
            Self::MerchantAccount => read_model::MERCHANT_ACCOUNT,
            Self::HouseAccount => read_model::HOUSE_ACCOUNT,
            Self::Payment => read_model::PAYMENT,
            Self::Settlement => read_model::SETTLEMENT,
            Self::Payout => read_model::PAYOUT,
            Self::Correction => read_model::CORRECTION,
            Self::FxRate => read_model::FX_RATE,
            Self::Reconciliation => read_model::RECONCILIATION,
            Self::Notification => read_model::NOTIFICATION,
        }
    }

    /// Returns the name that projectors and operators use.
    pub(crate) const fn name(self) -> &'static str {
        self.tables().name
    }
}

/// All read models.
pub(crate) struct ReadModels {
    pub(crate) pool: PgPool,
    watchers: [Arc<Watcher>; MODELS],
}

impl ReadModels {
    pub(crate) fn new(pool: PgPool) -> Self {
        let watchers = Model::ALL.map(|model| Arc::new(Watcher::new(Watched::Model(pool.clone(), model))));
        Self { pool, watchers }
    }

    /// Waits until a model is at a position or beyond, or patience ends.
    pub(crate) async fn reach(&self, model: Model, wanted: u64) {
        self.watchers[model as usize].reach(wanted).await;
    }

    /// Opens a snapshot: its first statement reads the checkpoint, finds out which keys are parked, and
    /// leads the transaction to the live generation's tables, all of one moment.
    ///
    /// # Errors
    ///
    /// 503 if there is none that this version can read: a projector of this version is yet to start.
    pub(crate) async fn snapshot(&self, model: Model, keys: &[&str]) -> Result<Snapshot, ApiError> {
        self.open("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", model, keys).await
    }

    /// Opens a snapshot for what is found by the same indexes whatever it is about: statements are not planned anew
    /// each time, and a plan that was made for small tables must not go on reading all of them while they grow.
    pub(crate) async fn planned_snapshot(&self, model: Model, keys: &[&str]) -> Result<Snapshot, ApiError> {
        let begin = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;
                     SET LOCAL plan_cache_mode = force_generic_plan; SET LOCAL enable_seqscan = off";
        self.open(begin, model, keys).await
    }

    async fn open(&self, begin: &'static str, model: Model, keys: &[&str]) -> Result<Snapshot, ApiError> {
        let mut transaction = self.pool.begin_with(begin).await?;
        let Some(live) = model.tables().enter(&mut transaction, keys).await? else {
            return Err(ApiError::StoreUnavailable(Some("the read model was never made".into())));
        };
        let Live { generation, position, parked } = live;
        Ok(Snapshot { transaction, position, parked, model, generation })
    }

    /// Returns why read models can't be asked; empty if they all can.
    pub(crate) async fn unfit(&self) -> Result<Vec<String>, sqlx::Error> {
        let live: Vec<LiveRow> = sqlx::query_as(
            "SELECT name, shape, indexed, status, coalesce(last_error, '') FROM projections WHERE active",
        )
        .fetch_all(&self.pool)
        .await?;
        let why = |model: Model| match live.iter().find(|(name, ..)| name == model.name()) {
            None => Some(format!("projection {} is missing", model.name())),
            Some((name, shape, ..)) if shape.as_deref() != Some(model.tables().shape().as_slice()) => {
                Some(format!("projection {name} is of another version"))
            }
            Some((name, .., status, error)) if status == "stopped" => {
                Some(format!("projection {name} is stopped: {error}"))
            }
            // Whatever is asked of it would read whole tables.
            Some((name, _, false, ..)) => Some(format!("projection {name} has no indexes yet")),
            Some(_) => None,
        };
        Ok(Model::ALL.into_iter().filter_map(why).collect())
    }
}

/// Of a live generation: its name, shape, whether it has its indexes, status and error.
type LiveRow = (String, Option<Vec<u8>>, bool, String, String);

/// One moment of one read model.
pub(crate) struct Snapshot {
    /// Reads the tables of the live generation, unqualified. Dropped, never committed: it only reads.
    pub(crate) transaction: Transaction<'static, Postgres>,
    /// The checkpoint: what the rows reflect.
    pub(crate) position: u64,
    /// Which of the asked keys stand still.
    pub(crate) parked: Vec<String>,
    model: Model,
    generation: i32,
}

impl Snapshot {
    /// Leaves out the rows of keys that stand still: asked for themselves they answer 503, and a list
    /// should not show what it knows to be old.
    pub(crate) fn push_not_parked(&self, query: &mut QueryBuilder<Postgres>, key: &'static str) {
        // Asked of each row, and not joined: the planner would take the join to leave next to no rows, and read a
        // whole table rather than an index in the order of the page.
        query
            .push(" AND (SELECT NOT EXISTS (SELECT FROM parked_keys AS parked WHERE parked.name = ")
            .push_bind(self.model.name())
            .push(" AND parked.generation = ")
            .push_bind(self.generation)
            .push(" AND parked.key = ")
            .push(key)
            .push("))");
    }

    /// Refuses to go on if a key stands still that the rows have told.
    pub(crate) async fn refuse_parked(&mut self, key: &str) -> Result<(), ApiError> {
        let (is_parked,): (bool,) = sqlx::query_as(
            "SELECT EXISTS (SELECT FROM parked_keys WHERE name = $1 AND generation = $2 AND key = $3)",
        )
        .bind(self.model.name())
        .bind(self.generation)
        .bind(key)
        .fetch_one(&mut *self.transaction)
        .await?;
        if is_parked { Err(ApiError::ProjectionParked) } else { Ok(()) }
    }
}
