//! How requests name money, for the documentation; [`api_kit::fields`] reads it.

use utoipa::ToSchema;

/// Whole minor units of a currency: 1234 EUR is 12.34 EUR.
#[derive(ToSchema)]
#[schema(as = Money)]
#[expect(dead_code, reason = "describes what the fields' reader takes")]
pub(crate) struct MoneySchema {
    /// Minor units.
    #[schema(minimum = 1, maximum = 999_999_999_999_i64)]
    amount: i64,
    /// ISO 4217.
    #[schema(example = "EUR")]
    currency: String,
}
