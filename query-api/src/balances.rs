//! What clients and merchants have, now or at a past moment. Those who ask for balances while others are answered share
//! the next snapshot, whomever they ask about.

use std::collections::{BTreeMap, HashSet};

use api_kit::problem::ApiError;
use api_kit::together::Together;
use event_store::error::{READ_LIMIT, StoreError};
use serde::Serialize;
use sqlx::AssertSqlSafe;
use utoipa::ToSchema;

use crate::accounts::Accounts;
use crate::moment::Past;
use crate::read_model::Snapshot;
use crate::service::QueryApi;

/// The balances of an owner in one currency, by the accounts' short names; also what was `paid_out`, where it is kept.
pub(crate) type Totals = BTreeMap<String, i64>;

/// The balances of an owner, by currency.
pub(crate) type ByCurrency = BTreeMap<String, Totals>;

/// An owner's balances after a position.
#[derive(Clone, Debug)]
pub(crate) struct Question {
    pub(crate) owner: String,
    /// The last event that counts; [`NOW`] for all that there are.
    pub(crate) position: u64,
}

/// After every position.
const NOW: u64 = i64::MAX.unsigned_abs();

/// What is told of an owner.
pub(crate) struct Told {
    /// The position of the read model.
    reflects: u64,
    /// Whether the owner stands still there.
    is_parked: bool,
    /// `None` if there is no such owner.
    balances: Option<ByCurrency>,
}

/// Those who ask for balances of one kind of owner. Who asks for the past, which may take longer, holds up nobody else.
#[derive(Default)]
pub(crate) struct Asking {
    now: Together<Question, Told>,
    past: Together<Question, Told>,
}

/// Balances, now or at a past moment.
#[derive(Serialize, ToSchema)]
pub(crate) struct Balances<T> {
    /// One row per currency.
    pub(crate) data: Vec<T>,
    /// With a past moment: the position of its last event.
    #[serde(skip_serializing_if = "Option::is_none")]
    position: Option<u64>,
    /// With a past moment: whether no event can come any more that would count.
    #[serde(skip_serializing_if = "Option::is_none")]
    r#final: Option<bool>,
}

impl<T> Balances<T> {
    pub(crate) fn of(data: Vec<T>, past: Option<Past>) -> Self {
        Self { data, position: past.map(|past| past.position), r#final: past.map(|past| past.is_final) }
    }
}

impl QueryApi {
    /// Returns an owner's balances by currency, at a past moment or now, and the position that they reflect.
    ///
    /// # Errors
    ///
    /// 404 if there is no such owner; otherwise as for a [`QueryApi::snapshot`].
    pub(crate) async fn balances(
        &self,
        accounts: &'static Accounts,
        asking: &Asking,
        owner: String,
        past: Option<Past>,
        wanted: u64,
    ) -> Result<(u64, ByCurrency), ApiError> {
        let question = Question { owner, position: past.map_or(NOW, |past| past.position) };
        let wanted = wanted.max(past.map_or(0, |past| past.position));
        let together = if past.is_some() { &asking.past } else { &asking.now };
        let ask = || together.ask(question.clone(), |all| self.ask_for_all(accounts, all));
        let mut told = ask().await?;
        if told.reflects < wanted {
            self.models.reach(accounts.model, wanted).await;
            told = ask().await?;
        }
        if told.reflects < wanted {
            return Err(self.behind(told.reflects, wanted).await);
        }
        if told.is_parked {
            return Err(ApiError::ProjectionParked);
        }
        Ok((told.reflects, told.balances.ok_or(ApiError::NotFound)?))
    }

    /// Answers questions from one snapshot, within the time that a read may take.
    async fn ask_for_all(
        &self,
        accounts: &'static Accounts,
        questions: Vec<Question>,
    ) -> Result<Vec<Told>, ApiError> {
        let answers = async {
            let owners: Vec<&str> = questions.iter().map(|question| question.owner.as_str()).collect();
            let mut snapshot = self.models.planned_snapshot(accounts.model, &owners).await?;
            let balances = accounts.balances(&mut snapshot, &questions).await?;
            let told = |(question, balances): (&Question, Option<ByCurrency>)| Told {
                reflects: snapshot.position,
                is_parked: snapshot.parked.contains(&question.owner),
                balances,
            };
            Ok(questions.iter().zip(balances).map(told).collect())
        };
        let timeout = |_| ApiError::from(StoreError::Timeout(READ_LIMIT));
        tokio::time::timeout(READ_LIMIT, answers).await.map_err(timeout)?
    }
}

impl Accounts {
    /// Returns what is asked for, in the order of the questions; `None` of an owner that does not exist.
    ///
    /// What an owner has is what is kept for it, unless it has changed behind the position. Then it is the one after
    /// the account's last entry at or before that: one look-up in an index per account and currency, however long
    /// ago it is. The entry is asked for by its place in that index, so that no other will do: one by positions
    /// alone would be read through for an account without any.
    pub(crate) async fn balances(
        &self,
        snapshot: &mut Snapshot,
        questions: &[Question],
    ) -> Result<Vec<Option<ByCurrency>>, ApiError> {
        let Self { entries, owner: column, balances, names, paid_out, .. } = *self;
        let named =
            names.iter().map(|name| format!("('{name}', kept.{name})")).collect::<Vec<_>>().join(", ");
        let paid_out = paid_out.map_or_else(String::new, |table| {
            format!(
                "UNION ALL
                 SELECT 'paid_out', (SELECT paid_out_after FROM {table} AS entry
                                     WHERE (entry.{column}, entry.currency) = (asked.owner, kept.currency)
                                       AND entry.position <= asked.position
                                     ORDER BY entry.position DESC LIMIT 1)"
            )
        });
        let statement = format!(
            "SELECT nth, kept.currency, had.account, had.balance
             FROM unnest($1::text[], $2::bigint[]) WITH ORDINALITY AS asked (owner, position, nth)
             CROSS JOIN LATERAL (SELECT * FROM {balances} WHERE {column} = asked.owner OFFSET 0) AS kept
             CROSS JOIN LATERAL (
                 SELECT account, balance FROM (VALUES {named}) AS named (account, balance)
                 WHERE kept.position <= asked.position
                 UNION ALL
                 SELECT named.account, last.balance_after
                 FROM (VALUES {named}) AS named (account)
                 CROSS JOIN LATERAL (
                     SELECT {column}, currency, account, balance_after FROM {entries}
                     WHERE ({column}, currency, account, position)
                           <= (asked.owner, kept.currency, named.account, asked.position)
                     ORDER BY {column} DESC, currency DESC, account DESC, position DESC, ordinal DESC LIMIT 1
                 ) AS last
                 WHERE kept.position > asked.position
                   AND (last.{column}, last.currency, last.account) = (asked.owner, kept.currency, named.account)
                 {paid_out}
             ) AS had
             WHERE had.balance IS NOT NULL"
        );
        let rows: Vec<(i64, String, String, i64)> = sqlx::query_as(AssertSqlSafe(statement))
            .bind(questions.iter().map(|question| question.owner.as_str()).collect::<Vec<_>>())
            .bind(questions.iter().map(|question| question.position.cast_signed()).collect::<Vec<_>>())
            .fetch_all(&mut *snapshot.transaction)
            .await?;
        let mut found: BTreeMap<i64, ByCurrency> = BTreeMap::new();
        for (nth, currency, account, balance) in rows {
            found.entry(nth).or_default().entry(currency).or_default().insert(account, balance);
        }
        // Who has balances exists.
        let unsure = (1..).zip(questions).filter(|(nth, _)| !found.contains_key(nth));
        let unsure = unsure.map(|(_, question)| question.owner.clone()).collect();
        let owners = self.existing(snapshot, unsure).await?;
        let answer = |(nth, question): (i64, &Question)| {
            found.remove(&nth).or_else(|| owners.contains(&question.owner).then(ByCurrency::new))
        };
        Ok((1..).zip(questions).map(answer).collect())
    }

    /// Returns those of some owners who exist.
    async fn existing(&self, snapshot: &mut Snapshot, ids: Vec<String>) -> Result<HashSet<String>, ApiError> {
        if ids.is_empty() {
            return Ok(HashSet::new());
        }
        let statement = format!("SELECT id FROM {} WHERE id = ANY ($1)", self.owners);
        let rows: Vec<(String,)> =
            sqlx::query_as(AssertSqlSafe(statement)).bind(ids).fetch_all(&mut *snapshot.transaction).await?;
        Ok(rows.into_iter().map(|(id,)| id).collect())
    }
}

/// Returns an account's balance; zero if it never had an entry.
pub(crate) fn total(totals: &Totals, account: &str) -> i64 {
    totals.get(account).copied().unwrap_or(0)
}
