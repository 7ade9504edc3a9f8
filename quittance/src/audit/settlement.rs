//! Settlements: captures whose day has come become available, each exactly once.

use ledger_core::ids::{MerchantId, StreamId};

use super::account::{Account, Holder, Move, Purpose};
use super::event::Event;
use super::fields::Malformed;
use super::ledger::{Desk, Ledger};
use super::money::Money;

impl Ledger {
    pub(super) fn settlement_closed(
        &mut self,
        event: &Event,
        desk: &mut Desk<'_>,
    ) -> Result<Vec<Move>, Malformed> {
        let StreamId::Settlement(_) = event.stream else {
            return Err(Malformed::new("stream_id", "a settlement's"));
        };
        let data = event.data_of(&[
            &["merchant_id", "currency", "through_day", "count"],
            &["gross", "fees", "absorbed", "amount"],
        ])?;
        let merchant: MerchantId = data.id("merchant_id")?;
        let (currency, through_day) = (data.currency("currency")?, data.day("through_day")?);
        let [gross, fees, absorbed, amount] =
            ["gross", "fees", "absorbed", "amount"].map(|name| data.money(name));
        let is_known = self.merchants.contains_key(&merchant);
        let balance = self.change(Holder::Merchant(merchant), currency, event.position);
        let due = balance.due(through_day);
        let makes_up = balance.drawn.min(due.net());
        let check = &mut desk.check;
        check.holds(is_known, "merchant_id", "a merchant that was opened", merchant);
        let today = event.at.day();
        check.holds(through_day <= today, "through_day", format!("no later than {today}"), through_day);
        check.holds(due.count > 0, "captures that are due", "at least one", "none");
        check.same("count", due.count, data.number("count")?);
        let absorbed = absorbed?;
        let expected = [due.gross, due.fees, makes_up, due.net() - makes_up];
        for (name, expected, found) in [
            ("gross", expected[0], gross?),
            ("fees", expected[1], fees?),
            ("absorbed", expected[2], absorbed),
            ("amount", expected[3], amount?),
        ] {
            check.same(name, Money::new(expected, currency).to_string(), found.to_string());
        }
        balance.settle(through_day);
        balance.drawn -= absorbed.minor;
        let [debit, credit] =
            [Purpose::Pending, Purpose::Available].map(|at| Account::merchant(merchant, at));
        Ok(vec![Move { debit, credit, money: Money::new(expected[3], currency) }])
    }
}
