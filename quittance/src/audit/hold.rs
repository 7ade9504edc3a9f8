//! What becomes of held money: more of it, captured for the merchant, or released.

use chrono::Days;
use ledger_core::ids::{PaymentId, StreamId};

use super::account::{Account, Holder, House, Move, Purpose};
use super::balance::Captures;
use super::event::Event;
use super::fee;
use super::fields::{Fields, Malformed};
use super::ledger::{Desk, Duty, Ledger};
use super::merchant::amount_in;
use super::money::{AMOUNT_MAX, BALANCE_MAX};
use super::payment::{Approved, Found, minor};
use super::subject::Form;

/// How long before its end it is told that an authorization expires, in days.
pub(super) const WARNING_DAYS: i64 = 1;

impl Ledger {
    pub(super) fn payment_captured(
        &mut self,
        event: &Event,
        desk: &mut Desk<'_>,
    ) -> Result<Vec<Move>, Malformed> {
        let data = event.data_of(&[
            &["merchant_id", "client_id", "amount", "fee", "fee_version"],
            &["final", "released", "settles_on"],
        ])?;
        let found = self.approved(event, data, desk)?;
        let Found { id, merchant, currency, totals } = found;
        let [amount, fee, released] = ["amount", "fee", "released"].map(|name| minor(data, name, currency));
        let (amount, fee, released) = (amount?, fee?, released?);
        let (settings, terms) = self.settings(merchant)?;
        let is_final = data.flag("final")?;
        let capturable = totals.capturable();
        totals.check_in_time(event, desk);
        let check = &mut desk.check;
        check.holds((1..=capturable).contains(&amount), "amount", format!("1 to {capturable}"), amount);
        check.same("released", if is_final { capturable - amount } else { 0 }, released);
        if desk.due == Some(Duty::Capture(id)) {
            let all = is_final && amount == totals.authorized;
            check.holds(all, "automatic capture", "all of it, and final", format!("{amount} {currency}"));
        }
        let fixed = if totals.captured == 0 { amount_in(&terms.fixed, currency) } else { 0 };
        check.same("fee", fee::taken(amount, terms.percent, fixed), fee);
        check.same("fee_version", settings, data.number("fee_version")?);
        let settles_on = event.at.day().checked_add_days(Days::new(terms.delay_days));
        let settles_on = settles_on.ok_or(Malformed::new("settles_on", "a day of the calendar"))?;
        check.holds(
            settles_on.to_string() == data.text("settles_on")?,
            "settles_on",
            settles_on,
            "another day",
        );

        // Noted as the event has it, like the postings: one finding, not one at every balance after it.
        let captures = Captures { count: 1, gross: amount, fees: fee };
        let balance = self.change(Holder::Merchant(merchant), currency, event.position);
        balance.note_capture(settles_on, &captures, event.at.day());
        self.totals(id, event.position, |totals| {
            totals.captured += amount;
            totals.released += released;
            totals.fee_taken += fee;
        });
        let (debit, exchanged) = totals.pay(amount);
        let paid = [
            Move { debit, credit: found.account(Purpose::Pending), money: found.money(captures.net()) },
            Move { debit, credit: Account::House(House::Fees), money: found.money(fee) },
            totals.release(totals.captured + amount, released),
        ];
        Ok(exchanged.into_iter().chain(paid).collect())
    }

    pub(super) fn payment_voided(
        &mut self,
        event: &Event,
        desk: &mut Desk<'_>,
    ) -> Result<Vec<Move>, Malformed> {
        let data = event.data_of(&[&["merchant_id", "client_id", "amount", "reason"]])?;
        let Found { id, totals, .. } = self.approved(event, data, desk)?;
        desk.open(event, data, ("reason", Form::Text), StreamId::Client(totals.client))?;
        totals.check_in_time(event, desk);
        self.release_rest(event, data, (id, &totals), desk)
    }

    pub(super) fn payment_expired(
        &mut self,
        event: &Event,
        desk: &mut Desk<'_>,
    ) -> Result<Vec<Move>, Malformed> {
        let data = event.data_of(&[&["merchant_id", "client_id", "amount"]])?;
        let Found { id, totals, .. } = self.approved(event, data, desk)?;
        let is_over = event.at >= totals.expires_at;
        let wanted = format!("no earlier than {}", totals.expires_at);
        desk.check.holds(is_over, "recorded_at", wanted, event.at);
        let moves = self.release_rest(event, data, (id, &totals), desk)?;
        self.totals(id, event.position, |totals| totals.expired = true);
        Ok(moves)
    }

    /// Releases all that is not captured, if there is any.
    fn release_rest(
        &mut self,
        event: &Event,
        data: Fields<'_>,
        (id, totals): (PaymentId, &Approved),
        desk: &mut Desk<'_>,
    ) -> Result<Vec<Move>, Malformed> {
        let amount = minor(data, "amount", totals.currency)?;
        desk.check.same("amount", totals.capturable(), amount);
        desk.check.holds(amount > 0, "amount", "above zero", amount);
        self.totals(id, event.position, |totals| totals.released += amount);
        Ok(vec![totals.release(totals.captured, amount)])
    }

    pub(super) fn payment_authorization_incremented(
        &mut self,
        event: &Event,
        desk: &mut Desk<'_>,
    ) -> Result<Vec<Move>, Malformed> {
        let data = event.data_of(&[&["merchant_id", "client_id", "amount"]])?;
        let Found { id, merchant, currency, totals } = self.approved(event, data, desk)?;
        let amount = minor(data, "amount", currency)?;
        self.check_active(merchant, desk);
        totals.check_in_time(event, desk);
        let check = &mut desk.check;
        check.holds(totals.capturable() > 0, "authorization", "one that is open", "one that is not");
        check.holds((1..=AMOUNT_MAX).contains(&amount), "amount", "what a request may ask for", amount);
        let authorized = totals.authorized + amount;
        check.holds(authorized <= BALANCE_MAX, "authorized in all", "within the limit", authorized);
        self.totals(id, event.position, |totals| totals.authorized += amount);
        Ok(vec![totals.hold(amount)])
    }

    pub(super) fn payment_authorization_expiring(
        &mut self,
        event: &Event,
        desk: &mut Desk<'_>,
    ) -> Result<Vec<Move>, Malformed> {
        let data = event.data_of(&[&["merchant_id", "client_id", "expires_at", "capturable"]])?;
        let Found { id, currency, totals, .. } = self.approved(event, data, desk)?;
        totals.check_in_time(event, desk);
        let is_near = event.at.plus_days(WARNING_DAYS) >= totals.expires_at;
        let check = &mut desk.check;
        check.holds(is_near, "recorded_at", "within a day of the authorization's end", event.at);
        check.same("expires_at", totals.expires_at, data.moment("expires_at")?);
        check.same("capturable", totals.capturable(), minor(data, "capturable", currency)?);
        check.holds(totals.capturable() > 0, "authorization", "one that is open", "one that is not");
        check.holds(!totals.warned, "warning", "one for each authorization", "another before");
        self.totals(id, event.position, |totals| totals.warned = true);
        Ok(Vec::new())
    }
}
