//! Merchants: opened, and their settings, which captures and refunds go by.

use ledger_core::Currency;
use ledger_core::ids::{MerchantId, StreamId};
use serde_json::{Map, Value};

use super::account::Move;
use super::event::Event;
use super::fee;
use super::fields::{Fields, Malformed};
use super::ledger::{Desk, Ledger};
use super::money::{AMOUNT_MAX, Money};
use super::subject::is_metadata;

/// The members of an event that are settings.
const SETTINGS: &[&str] = &["fee", "fee_version", "settlement_delay_days", "refund_fee", "negative_limit"];

/// The longest time from a capture to its settlement, in days.
const SETTLEMENT_DELAY_DAYS_MAX: u64 = 30;

/// A merchant.
#[derive(Clone, Debug)]
pub(super) struct Merchant {
    pub(super) name: String,
    pub(super) metadata: Value,
    pub(super) settings: Settings,
}

/// What captures and refunds go by.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub(super) terms: Terms,
    pub(super) fee_version: u64,
    /// The settings as their event has them.
    pub(super) json: Map<String, Value>,
}

/// The settings that a person chooses.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Terms {
    /// Of each capture, in ten-thousandths of a percent.
    pub(super) percent: i128,
    /// On a payment's first capture.
    pub(super) fixed: Vec<Money>,
    /// Days from a capture to its settlement.
    pub(super) delay_days: u64,
    /// Whether refunds give the fee back.
    pub(super) fee_returned: bool,
    /// How far below zero refunds may take what is available.
    pub(super) negative_limit: Vec<Money>,
}

impl Ledger {
    pub(super) fn merchant_opened(
        &mut self,
        event: &Event,
        desk: &mut Desk<'_>,
    ) -> Result<Vec<Move>, Malformed> {
        let id = merchant_id(event)?;
        let data = event.data_of(&[&["name", "metadata"], SETTINGS])?;
        let metadata = data.0.get("metadata").cloned().unwrap_or_default();
        let fits = metadata.is_null() || is_metadata(&metadata);
        desk.check.holds(fits, "metadata", "null or an object of strings", "something else");
        let settings = Settings::read(data, desk)?;
        desk.check.same("fee_version", 1, settings.fee_version);
        self.merchants.insert(id, Merchant { name: data.text("name")?.to_owned(), metadata, settings });
        Ok(Vec::new())
    }

    pub(super) fn merchant_settings_changed(
        &mut self,
        event: &Event,
        desk: &mut Desk<'_>,
    ) -> Result<Vec<Move>, Malformed> {
        let settings = Settings::read(event.data_of(&[SETTINGS])?, desk)?;
        let merchant = self
            .merchants
            .get_mut(&merchant_id(event)?)
            .ok_or(Malformed::new("stream_id", "a merchant that was opened"))?;
        desk.check.same("fee_version", merchant.settings.fee_version.saturating_add(1), settings.fee_version);
        let changed = merchant.settings.terms != settings.terms;
        desk.check.holds(changed, "settings", "others than before", "the same");
        merchant.settings = settings;
        Ok(Vec::new())
    }
}

impl Settings {
    fn read(data: Fields<'_>, desk: &mut Desk<'_>) -> Result<Self, Malformed> {
        let schedule = data.object("fee")?.exactly("fee", &[&["percent", "fixed"]])?;
        let terms = Terms {
            percent: fee::percent(schedule.text("percent")?)
                .ok_or(Malformed::new("percent", "0 to 100 with at most four decimals"))?,
            fixed: schedule.money_list("fixed")?,
            delay_days: data.number("settlement_delay_days")?,
            fee_returned: match data.text("refund_fee")? {
                "returned" => true,
                "kept" => false,
                _ => return Err(Malformed::new("refund_fee", "returned or kept")),
            },
            negative_limit: data.money_list("negative_limit")?,
        };
        let askable = |money: &Money| (1..=AMOUNT_MAX).contains(&money.minor);
        let fits = terms.fixed.iter().chain(&terms.negative_limit).all(askable)
            && terms.delay_days <= SETTLEMENT_DELAY_DAYS_MAX;
        desk.check.holds(fits, "settings", "what a request may ask for", "something else");
        let json = SETTINGS.iter().filter_map(|name| Some(((*name).to_owned(), data.0.get(*name)?.clone())));
        Ok(Self { terms, fee_version: data.number("fee_version")?, json: json.collect() })
    }
}

/// Finds the amount of a currency in a list; none is zero.
pub(super) fn amount_in(list: &[Money], currency: Currency) -> i128 {
    list.iter().find(|money| money.currency == currency).map_or(0, |money| money.minor)
}

fn merchant_id(event: &Event) -> Result<MerchantId, Malformed> {
    match event.stream {
        StreamId::Merchant(id) => Ok(id),
        _ => Err(Malformed::new("stream_id", "a merchant's")),
    }
}
