//! The accounts of clients and of merchants, which are kept alike: balances, and one entry per posting.

use api_kit::problem::ApiError;
use sqlx::{Postgres, QueryBuilder};

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
    pub(crate) owners: &'static str,
    pub(crate) balances: &'static str,
    /// Where it is kept what was paid out to owners, which is in no account of theirs.
    pub(crate) paid_out: Option<&'static str>,
}

pub(crate) static CLIENTS: Accounts = Accounts {
    model: Model::ClientAccount,
    kind: "client",
    names: &["available", "held"],
    entries: "client_entries",
    owner: "client_id",
    owners: "clients",
    balances: "client_balances",
    paid_out: None,
};

pub(crate) static MERCHANTS: Accounts = Accounts {
    model: Model::MerchantAccount,
    kind: "merchant",
    names: &["pending", "available", "reserved", "in_transit"],
    entries: "merchant_entries",
    owner: "merchant_id",
    owners: "merchants",
    balances: "merchant_balances",
    paid_out: Some("merchant_paid_out"),
};

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
}
