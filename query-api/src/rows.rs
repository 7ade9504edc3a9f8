//! Rows of a read model, as the API shows them: a page, one by its id, or whatever a query asks for.

use std::fmt::Display;
use std::str::FromStr;

use api_kit::page::Page;
use api_kit::problem::ApiError;
use sqlx::postgres::PgRow;
use sqlx::{FromRow, Postgres, QueryBuilder};

use crate::read_model::Snapshot;

impl Snapshot {
    /// Reads the rows that a query asks for.
    pub(crate) async fn rows<R, T>(
        &mut self,
        query: &mut QueryBuilder<Postgres>,
        show: impl Fn(R) -> Result<T, ApiError>,
    ) -> Result<Vec<T>, ApiError>
    where
        R: for<'r> FromRow<'r, PgRow> + Send + Unpin,
    {
        let rows: Vec<R> = query.build_query_as().fetch_all(&mut *self.transaction).await?;
        rows.into_iter().map(show).collect()
    }

    /// Reads a page of the rows that a query asks for, newest first by their ids, without those whose keys,
    /// in the column `parked_by`, stand still.
    pub(crate) async fn page<R, T, K: Display + FromStr>(
        &mut self,
        mut query: QueryBuilder<Postgres>,
        page: &Page<K>,
        parked_by: &'static str,
        show: impl Fn(R) -> Result<T, ApiError>,
    ) -> Result<Vec<T>, ApiError>
    where
        R: for<'r> FromRow<'r, PgRow> + Send + Unpin,
    {
        if let Some(after) = &page.after {
            query.push(" AND id < ").push_bind(after.to_string());
        }
        self.push_not_parked(&mut query, parked_by);
        query.push(" ORDER BY id DESC LIMIT ").push_bind(page.rows());
        self.rows(&mut query, show).await
    }

    /// Finds the row with an id among those that a query asks for.
    ///
    /// # Errors
    ///
    /// 404 if there is none.
    pub(crate) async fn find<R, T>(
        &mut self,
        mut query: QueryBuilder<Postgres>,
        id: &str,
        show: impl Fn(R) -> Result<T, ApiError>,
    ) -> Result<T, ApiError>
    where
        R: for<'r> FromRow<'r, PgRow> + Send + Unpin,
    {
        query.push(" AND id = ").push_bind(id.to_owned());
        self.rows(&mut query, show).await?.pop().ok_or(ApiError::NotFound)
    }
}
