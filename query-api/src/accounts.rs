//! The accounts of clients and of merchants, which are kept alike: balances, and one entry per posting.

use std::collections::BTreeMap;

use api_kit::problem::ApiError;
use serde::Serialize;
use sqlx::{AssertSqlSafe, Postgres, QueryBuilder};
use utoipa::ToSchema;

use crate::moment::Past;
use crate::read_model::{Model, Snapshot};

/// Where one kind of owner's accounts are, and how they are called.
pub(crate) struct Accounts {
    pub(crate) model: Model,
    /// What an account's full name begins with.
    pub(crate) kind: &'static str,
    /// The accounts of an owner, by their short names.
    pub(crate) names: &'static [&'static str],
    pub(crate) entries: &'static str,
    /// The column of `entries` and `balances` that holds the owner's id.
    pub(crate) owner: &'static str,
    owners: &'static str,
    balances: &'static str,
}

pub(crate) static CLIENTS: Accounts = Accounts {
    model: Model::ClientAccount,
    kind: "client",
    names: &["available", "held"],
    entries: "client_entries",
    owner: "client_id",
    owners: "clients",
    balances: "client_balances",
};

pub(crate) static MERCHANTS: Accounts = Accounts {
    model: Model::MerchantAccount,
    kind: "merchant",
    names: &["pending", "available", "reserved", "in_transit"],
    entries: "merchant_entries",
    owner: "merchant_id",
    owners: "merchants",
    balances: "merchant_balances",
};

/// The balances of an owner in one currency, by the accounts' short names.
pub(crate) type Totals = BTreeMap<String, i64>;

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

impl Accounts {
    /// Returns an account's full name.
    pub(crate) fn full_name(&self, owner: &str, account: &str) -> String {
        format!("{}:{owner}:{account}", self.kind)
    }

    /// Refuses an owner that does not exist.
    pub(crate) async fn expect_owner(&self, snapshot: &mut Snapshot, owner: &str) -> Result<(), ApiError> {
        let mut query = QueryBuilder::<Postgres>::new("SELECT 1 FROM ");
        query.push(self.owners).push(" WHERE id = ").push_bind(owner.to_owned());
        let found = query.build().fetch_optional(&mut *snapshot.transaction).await?;
        found.map(drop).ok_or(ApiError::NotFound)
    }

    /// Returns an owner's balances after a position, per currency; now, without one. Refuses an owner that does
    /// not exist.
    ///
    /// A past balance is the one after the account's last entry at or before the position: one look-up in
    /// an index per account and currency, however long ago it is. The entry is asked for by its place in that
    /// index, so that no other will do: one by positions alone would be read through for an account without any.
    pub(crate) async fn balances(
        &self,
        snapshot: &mut Snapshot,
        owner: &str,
        position: Option<u64>,
    ) -> Result<BTreeMap<String, Totals>, ApiError> {
        let Self { entries, owner: column, balances, .. } = *self;
        let statement = format!(
            "SELECT kept.currency, named.account, last.balance_after
             FROM {balances} AS kept CROSS JOIN unnest($1::text[]) AS named (account)
             CROSS JOIN LATERAL (
                 SELECT {column}, currency, account, balance_after FROM {entries}
                 WHERE ({column}, currency, account, position) <= (kept.{column}, kept.currency, named.account, $2)
                 ORDER BY {column} DESC, currency DESC, account DESC, position DESC, ordinal DESC LIMIT 1
             ) AS last
             WHERE kept.{column} = $3
               AND (last.{column}, last.currency, last.account) = (kept.{column}, kept.currency, named.account)"
        );
        let rows: Vec<(String, String, i64)> = sqlx::query_as(AssertSqlSafe(statement))
            .bind(self.names)
            .bind(position.map_or(i64::MAX, u64::cast_signed))
            .bind(owner)
            .fetch_all(&mut *snapshot.transaction)
            .await?;
        if rows.is_empty() {
            self.expect_owner(snapshot, owner).await?;
        }
        let mut balances: BTreeMap<String, Totals> = BTreeMap::new();
        for (currency, account, balance) in rows {
            balances.entry(currency).or_default().insert(account, balance);
        }
        Ok(balances)
    }
}

/// Returns an account's balance; zero if it never had an entry.
pub(crate) fn total(totals: &Totals, account: &str) -> i64 {
    totals.get(account).copied().unwrap_or(0)
}
