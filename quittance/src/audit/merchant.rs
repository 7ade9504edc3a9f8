//! Merchants: opened, their settings, which captures and refunds go by, suspended and reinstated, their
//! debts paid or written off.

use ledger_core::Currency;
use ledger_core::ids::{MerchantId, StreamId};
use serde_json::{Map, Value};

use super::account::{Account, Holder, House, Move, Purpose};
use super::client::cash_moved;
use super::event::Event;
use super::fee;
use super::fields::{Fields, Malformed};
use super::ledger::{Desk, Ledger};
use super::moment::Moment;
use super::money::{AMOUNT_MAX, Money};
use super::subject::{Form, is_metadata};

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
    /// Since when it is suspended.
    pub(super) suspended_at: Option<Moment>,
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

impl Merchant {
    /// The name of the status in the write side and in the read models.
    pub(super) const fn status(&self) -> &'static str {
        if self.suspended_at.is_some() { "suspended" } else { "active" }
    }
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
        let name = data.text("name")?.to_owned();
        self.merchants.insert(id, Merchant { name, metadata, settings, suspended_at: None });
        Ok(Vec::new())
    }

    pub(super) fn merchant_settings_changed(
        &mut self,
        event: &Event,
        desk: &mut Desk<'_>,
    ) -> Result<Vec<Move>, Malformed> {
        let settings = Settings::read(event.data_of(&[SETTINGS])?, desk)?;
        let merchant = self.merchant_of(event)?;
        desk.check.same("fee_version", merchant.settings.fee_version.saturating_add(1), settings.fee_version);
        let changed = merchant.settings.terms != settings.terms;
        desk.check.holds(changed, "settings", "others than before", "the same");
        merchant.settings = settings;
        Ok(Vec::new())
    }

    pub(super) fn merchant_suspended(
        &mut self,
        event: &Event,
        desk: &mut Desk<'_>,
    ) -> Result<Vec<Move>, Malformed> {
        check_reason(event, desk)?;
        let merchant = self.merchant_of(event)?;
        desk.check.holds(merchant.suspended_at.is_none(), "status before", "active", "suspended");
        merchant.suspended_at = Some(event.at);
        Ok(Vec::new())
    }

    pub(super) fn merchant_reinstated(
        &mut self,
        event: &Event,
        desk: &mut Desk<'_>,
    ) -> Result<Vec<Move>, Malformed> {
        check_reason(event, desk)?;
        let merchant = self.merchant_of(event)?;
        desk.check.holds(merchant.suspended_at.is_some(), "status before", "suspended", "active");
        merchant.suspended_at = None;
        Ok(Vec::new())
    }

    pub(super) fn merchant_deposited(
        &mut self,
        event: &Event,
        desk: &mut Desk<'_>,
    ) -> Result<Vec<Move>, Malformed> {
        let credit = Account::merchant(merchant_id(event)?, Purpose::Available);
        let money = cash_moved(event, desk)?;
        Ok(vec![Move { debit: Account::House(House::Bank), credit, money }])
    }

    pub(super) fn merchant_balance_written_off(
        &mut self,
        event: &Event,
        desk: &mut Desk<'_>,
    ) -> Result<Vec<Move>, Malformed> {
        let id = merchant_id(event)?;
        let data = event.data_of(&[&["amount", "reason"]])?;
        let money = data.money("amount")?;
        data.object("reason")?;
        desk.open(event, data, ("reason", Form::Text), event.stream)?;
        let available = self.balance(Holder::Merchant(id), money.currency, Purpose::Available);
        let debt = -available.min(0);
        desk.check.holds((1..=debt).contains(&money.minor), "amount", format!("1 to {debt}"), money);
        let credit = Account::merchant(id, Purpose::Available);
        Ok(vec![Move { debit: Account::House(House::Losses), credit, money }])
    }

    /// Checks that a merchant was opened and is not suspended, which new payments and payouts ask for.
    pub(super) fn check_active(&self, id: MerchantId, desk: &mut Desk<'_>) {
        match self.merchants.get(&id) {
            None => desk.check.note("merchant_id", "a merchant that was opened", id),
            Some(Merchant { suspended_at: Some(at), .. }) => {
                desk.check.note(
                    "merchant_id",
                    "a merchant that is active",
                    format!("{id}, suspended at {at}"),
                );
            }
            Some(Merchant { suspended_at: None, .. }) => {}
        }
    }

    fn merchant_of(&mut self, event: &Event) -> Result<&mut Merchant, Malformed> {
        let merchant = self.merchants.get_mut(&merchant_id(event)?);
        merchant.ok_or(Malformed::new("stream_id", "a merchant that was opened"))
    }

    /// Finds a merchant's settings: their version and terms.
    pub(super) fn settings(&self, merchant: MerchantId) -> Result<(u64, &Terms), Malformed> {
        let merchant = self.merchants.get(&merchant);
        let merchant = merchant.ok_or(Malformed::new("merchant_id", "a merchant that was opened"))?;
        Ok((merchant.settings.fee_version, &merchant.settings.terms))
    }
}

/// Checks an event that has nothing but a person's reason.
fn check_reason(event: &Event, desk: &mut Desk<'_>) -> Result<(), Malformed> {
    let data = event.data_of(&[&["reason"]])?;
    desk.open(event, data, ("reason", Form::Text), event.stream).map(|_| ())
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
