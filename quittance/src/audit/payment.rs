//! Payments: authorized or declined, captured, voided, refunded.

use chrono::Days;
use ledger_core::Currency;
use ledger_core::ids::{CardId, ClientId, MerchantId, PaymentId, RefundId, StreamId};

use super::account::{Account, Holder, House, Move, Purpose};
use super::card::{Face, Status};
use super::event::Event;
use super::fee;
use super::fields::{Fields, Malformed};
use super::ledger::{Desk, Duty, Ledger};
use super::merchant::{Terms, amount_in};
use super::moment::Moment;
use super::money::{AMOUNT_MAX, Money};
use super::subject::{Form, Opened};

/// What a merchant says of a payment.
const DETAILS: &[&str] =
    &["merchant_id", "amount", "card", "capture", "reference", "description", "metadata"];

/// How far the checks of an attempt to pay came: the reason to decline that held, or past them all.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Stage {
    InvalidNumber,
    ExpiredCard,
    CardNotRecognised,
    InvalidExpiry,
    InvalidCvc,
    CardBlocked,
    InsufficientFunds,
    Authorized,
}

/// The codes of declines, in the order in which they are checked.
const DECLINE_CODES: [(&str, Stage); 7] = [
    ("invalid_number", Stage::InvalidNumber),
    ("expired_card", Stage::ExpiredCard),
    ("card_not_recognised", Stage::CardNotRecognised),
    ("invalid_expiry", Stage::InvalidExpiry),
    ("invalid_cvc", Stage::InvalidCvc),
    ("card_blocked", Stage::CardBlocked),
    ("insufficient_funds", Stage::InsufficientFunds),
];

/// A payment.
#[derive(Clone, Debug)]
pub(super) struct Payment {
    pub(super) details: Details,
    pub(super) client: Option<ClientId>,
    pub(super) standing: Standing,
}

/// What was asked.
#[derive(Clone, Debug)]
pub(super) struct Details {
    pub(super) merchant: MerchantId,
    pub(super) amount: Money,
    pub(super) card: Option<CardId>,
    pub(super) face: Face,
    pub(super) automatic: bool,
    pub(super) reference: Option<Box<str>>,
    pub(super) description: Opened,
    pub(super) metadata: Opened,
}

/// What became of it.
#[derive(Clone, Debug)]
pub(super) enum Standing {
    Declined(&'static str),
    Approved(Approved),
}

/// The running totals of a payment that was authorized, in minor units.
#[derive(Clone, Copy, Debug)]
pub(super) struct Approved {
    pub(super) client: ClientId,
    pub(super) expires_at: Moment,
    pub(super) authorized: i128,
    pub(super) captured: i128,
    pub(super) released: i128,
    pub(super) refunded: i128,
    pub(super) fee_taken: i128,
    pub(super) fee_returned: i128,
}

/// A refund.
#[derive(Clone, Debug)]
pub(super) struct Refund {
    pub(super) id: RefundId,
    pub(super) position: u64,
    pub(super) amount: Money,
    pub(super) reason: Opened,
}

impl Approved {
    const fn capturable(&self) -> i128 {
        self.authorized - self.captured - self.released
    }

    const fn refundable(&self) -> i128 {
        self.captured - self.refunded
    }
}

impl Payment {
    /// Returns the first status that holds.
    pub(super) const fn status(&self) -> &'static str {
        let totals = match &self.standing {
            Standing::Declined(_) => return "declined",
            Standing::Approved(totals) => totals,
        };
        let (captured, refunded, is_open) = (totals.captured, totals.refunded, totals.capturable() > 0);
        if captured > 0 && refunded == captured && !is_open {
            "refunded"
        } else if refunded > 0 {
            "partially_refunded"
        } else if captured > 0 {
            if is_open { "partially_captured" } else { "captured" }
        } else if is_open {
            "authorized"
        } else {
            "voided"
        }
    }
}

/// An approved payment as a later event finds it.
struct Found {
    id: PaymentId,
    currency: Currency,
    totals: Approved,
}

impl Ledger {
    pub(super) fn payment_authorized(
        &mut self,
        event: &Event,
        desk: &mut Desk<'_>,
    ) -> Result<Vec<Move>, Malformed> {
        let id = payment_id(event)?;
        let data = event.data_of(&[&["client_id", "expires_at"], DETAILS])?;
        let client: ClientId = data.id("client_id")?;
        let details = Details::read(event, data, Some(client), desk)?;
        self.check_attempt(event, &details, Some(client), Stage::Authorized, desk);
        let expires_at = data.moment("expires_at")?;
        desk.check.holds(expires_at > event.at, "expires_at", "later than the event", expires_at);
        let money = details.amount;
        if details.automatic {
            self.duty = Some(Duty::Capture(id));
        }
        let totals = Approved {
            client,
            expires_at,
            authorized: money.minor,
            captured: 0,
            released: 0,
            refunded: 0,
            fee_taken: 0,
            fee_returned: 0,
        };
        self.payments
            .insert(id, Payment { details, client: Some(client), standing: Standing::Approved(totals) });
        let [debit, credit] = [Purpose::Available, Purpose::Held].map(|at| Account::client(client, at));
        Ok(vec![Move { debit, credit, money }])
    }

    pub(super) fn payment_declined(
        &mut self,
        event: &Event,
        desk: &mut Desk<'_>,
    ) -> Result<Vec<Move>, Malformed> {
        let id = payment_id(event)?;
        let data = event.data_of(&[&["client_id", "decline_code"], DETAILS])?;
        let client = data.maybe_id("client_id")?;
        let code = data.text("decline_code")?;
        let (code, stage) = DECLINE_CODES
            .into_iter()
            .find(|(known, _)| *known == code)
            .ok_or(Malformed::new("decline_code", "a code of the contract"))?;
        let details = Details::read(event, data, client, desk)?;
        self.check_attempt(event, &details, client, stage, desk);
        self.payments.insert(id, Payment { details, client, standing: Standing::Declined(code) });
        Ok(Vec::new())
    }

    /// Checks what the log can tell of an attempt to pay that came to a stage: no reason before it may
    /// hold, and its own must. Then counts the attempt.
    fn check_attempt(
        &mut self,
        event: &Event,
        details: &Details,
        client: Option<ClientId>,
        stage: Stage,
        desk: &mut Desk<'_>,
    ) {
        let check = &mut desk.check;
        let Details { merchant, amount, face, .. } = details;
        check.holds(
            self.merchants.contains_key(merchant),
            "merchant_id",
            "a merchant that was opened",
            merchant,
        );
        check.holds((1..=AMOUNT_MAX).contains(&amount.minor), "amount", "what a request may ask for", amount);
        let mut fits =
            |reason: &str, so: bool| check.holds(so, "attempt to pay", reason, format!("{stage:?}"));
        if stage > Stage::InvalidNumber {
            fits("invalid_number for a number of no brand", face.brand.is_some());
            let is_past = face.is_past(event.at.day());
            fits(
                "expired_card if and only if the expiry has passed",
                is_past == (stage == Stage::ExpiredCard),
            );
        }
        let known = details.card.and_then(|id| self.cards.get(&id));
        if stage == Stage::InvalidNumber || stage >= Stage::CardNotRecognised {
            let is_later = stage > Stage::CardNotRecognised;
            fits("a known card from invalid_expiry on, and none before", details.card.is_some() == is_later);
        }
        fits("a card that was issued", known.is_some() == details.card.is_some());
        fits("the holder of the card", known.map(|card| card.client) == client);
        if let (Some(card), Some(holder)) = (known, client) {
            fits(
                "a brand and last digits as issued",
                (card.face.brand, &card.face.last4) == (face.brand, &face.last4),
            );
            if stage >= Stage::InvalidExpiry {
                let differs = card.face.expiry() != face.expiry();
                fits(
                    "invalid_expiry if and only if it is not the card's",
                    differs == (stage == Stage::InvalidExpiry),
                );
            }
            if stage >= Stage::CardBlocked {
                let is_blocked = card.status == Status::Blocked;
                fits("card_blocked if and only if the card is", is_blocked == (stage == Stage::CardBlocked));
            }
            if stage >= Stage::InsufficientFunds {
                let available = self.balance(Holder::Client(holder), amount.currency, Purpose::Available);
                let is_short = available < amount.minor;
                fits(
                    "insufficient_funds if and only if the available balance does not cover the amount",
                    is_short == (stage == Stage::InsufficientFunds),
                );
            }
        }
        if let Some(id) = details.card
            && stage > Stage::ExpiredCard
        {
            let wrong = matches!(stage, Stage::InvalidExpiry | Stage::InvalidCvc);
            self.count_attempt(id, wrong, event.position);
        }
    }

    pub(super) fn payment_captured(
        &mut self,
        event: &Event,
        desk: &mut Desk<'_>,
    ) -> Result<Vec<Move>, Malformed> {
        let data = event.data_of(&[
            &["merchant_id", "client_id", "amount", "fee", "fee_version"],
            &["final", "released", "settles_on"],
        ])?;
        let Found { id, currency, totals } = self.approved(event, data, desk)?;
        let merchant: MerchantId = data.id("merchant_id")?;
        let [amount, fee, released] = ["amount", "fee", "released"].map(|name| minor(data, name, currency));
        let (amount, fee, released) = (amount?, fee?, released?);
        let (settings, terms) = self.settings(merchant)?;
        let is_final = data.flag("final")?;
        let capturable = totals.capturable();
        let check = &mut desk.check;
        check.holds((1..=capturable).contains(&amount), "amount", format!("1 to {capturable}"), amount);
        check.same("released", if is_final { capturable - amount } else { 0 }, released);
        check.holds(
            event.at < totals.expires_at,
            "recorded_at",
            "before the authorization expires",
            event.at,
        );
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
        let net = amount - fee;
        if net > 0 {
            let balance = self.balances.entry((Holder::Merchant(merchant), currency)).or_default();
            balance.note_unsettled(settles_on, net);
        }
        self.totals(id, |totals| {
            totals.captured += amount;
            totals.released += released;
            totals.fee_taken += fee;
        });
        let money = |minor| Money::new(minor, currency);
        let held = Account::client(totals.client, Purpose::Held);
        Ok(vec![
            Move { debit: held, credit: Account::merchant(merchant, Purpose::Pending), money: money(net) },
            Move { debit: held, credit: Account::House(House::Fees), money: money(fee) },
            Move {
                debit: held,
                credit: Account::client(totals.client, Purpose::Available),
                money: money(released),
            },
        ])
    }

    pub(super) fn payment_voided(
        &mut self,
        event: &Event,
        desk: &mut Desk<'_>,
    ) -> Result<Vec<Move>, Malformed> {
        let data = event.data_of(&[&["merchant_id", "client_id", "amount", "reason"]])?;
        let Found { id, currency, totals } = self.approved(event, data, desk)?;
        let amount = minor(data, "amount", currency)?;
        desk.open(event, data, ("reason", Form::Text), StreamId::Client(totals.client))?;
        let check = &mut desk.check;
        check.same("amount", totals.capturable(), amount);
        check.holds(amount > 0, "amount", "above zero", amount);
        check.holds(
            event.at < totals.expires_at,
            "recorded_at",
            "before the authorization expires",
            event.at,
        );
        self.totals(id, |totals| totals.released += amount);
        let [debit, credit] =
            [Purpose::Held, Purpose::Available].map(|at| Account::client(totals.client, at));
        Ok(vec![Move { debit, credit, money: Money::new(amount, currency) }])
    }

    pub(super) fn payment_refunded(
        &mut self,
        event: &Event,
        desk: &mut Desk<'_>,
    ) -> Result<Vec<Move>, Malformed> {
        let data = event.data_of(&[
            &["merchant_id", "client_id", "refund_id", "amount"],
            &["fee_returned", "drawn", "reason"],
        ])?;
        let Found { id, currency, totals } = self.approved(event, data, desk)?;
        let merchant: MerchantId = data.id("merchant_id")?;
        let refund_id: RefundId = data.id("refund_id")?;
        let [amount, returned, drawn] =
            ["amount", "fee_returned", "drawn"].map(|name| minor(data, name, currency));
        let (amount, returned, drawn) = (amount?, returned?, drawn?);
        let reason = desk.open(event, data, ("reason", Form::Text), StreamId::Client(totals.client))?;
        let (_, terms) = self.settings(merchant)?;
        let check = &mut desk.check;
        let refundable = totals.refundable();
        check.holds((1..=refundable).contains(&amount), "amount", format!("1 to {refundable}"), amount);
        let due = match terms.fee_returned {
            false => 0,
            true => {
                let refunded = totals.refunded + amount;
                fee::given_back(totals.fee_taken, totals.fee_returned, totals.captured, refunded, amount)
            }
        };
        check.same("fee_returned", due, returned);
        let limit = amount_in(&terms.negative_limit, currency);
        let from = |purpose| self.balance(Holder::Merchant(merchant), currency, purpose);
        let sources = Sources::of(amount - returned, from(Purpose::Available), from(Purpose::Pending));
        check.same("drawn", sources.pending, drawn);
        let lowest = from(Purpose::Available) - sources.available;
        let fits = sources.uncovered == 0 || lowest >= -limit;
        check.holds(fits, "merchant's available balance", format!("no less than {}", -limit), lowest);
        check.holds(self.refunds.insert(refund_id), "refund_id", "an id of its own", refund_id);

        if drawn > 0 {
            let balance = self.balances.entry((Holder::Merchant(merchant), currency)).or_default();
            balance.drawn += drawn;
        }
        self.totals(id, |totals| {
            totals.refunded += amount;
            totals.fee_returned += returned;
        });
        let position = event.position;
        self.refund = Some(Refund { id: refund_id, position, amount: Money::new(amount, currency), reason });
        let credit = Account::client(totals.client, Purpose::Available);
        let from = |debit, minor| Move { debit, credit, money: Money::new(minor, currency) };
        Ok(vec![
            from(Account::House(House::Fees), returned),
            from(Account::merchant(merchant, Purpose::Available), sources.available),
            from(Account::merchant(merchant, Purpose::Pending), sources.pending),
        ])
    }

    /// Finds the payment of a later event: it was approved, and the event names its merchant and client.
    fn approved(&self, event: &Event, data: Fields<'_>, desk: &mut Desk<'_>) -> Result<Found, Malformed> {
        let id = payment_id(event)?;
        let payment =
            self.payments.get(&id).ok_or(Malformed::new("stream_id", "a payment that was authorized"))?;
        let Standing::Approved(totals) = payment.standing else {
            return Err(Malformed::new("stream_id", "a payment that was not declined"));
        };
        desk.check.same("merchant_id", payment.details.merchant, data.id("merchant_id")?);
        desk.check.same("client_id", totals.client, data.id("client_id")?);
        Ok(Found { id, currency: payment.details.amount.currency, totals })
    }

    /// Changes the totals of an approved payment.
    fn totals(&mut self, id: PaymentId, change: impl FnOnce(&mut Approved)) {
        if let Some(Payment { standing: Standing::Approved(totals), .. }) = self.payments.get_mut(&id) {
            change(totals);
        }
    }

    /// Finds a merchant's settings: their version and terms.
    fn settings(&self, merchant: MerchantId) -> Result<(u64, &Terms), Malformed> {
        let merchant = self.merchants.get(&merchant);
        let merchant = merchant.ok_or(Malformed::new("merchant_id", "a merchant that was opened"))?;
        Ok((merchant.settings.fee_version, &merchant.settings.terms))
    }
}

/// Where a refund's money comes from.
struct Sources {
    available: i128,
    pending: i128,
    /// The part of `available` that was not there.
    uncovered: i128,
}

impl Sources {
    /// What is available first, then what is pending, then from available what neither covers.
    fn of(amount: i128, available: i128, pending: i128) -> Self {
        let first = available.max(0).min(amount);
        let pending = pending.max(0).min(amount - first);
        let uncovered = amount - first - pending;
        Self { available: first + uncovered, pending, uncovered }
    }
}

impl Details {
    fn read(
        event: &Event,
        data: Fields<'_>,
        client: Option<ClientId>,
        desk: &mut Desk<'_>,
    ) -> Result<Self, Malformed> {
        let card = data.object("card")?;
        let card = card.exactly("card", &[&["id", "brand", "last4", "exp_month", "exp_year"]])?;
        // Sealed for the client where there is one, else for the payment itself.
        let subject = client.map_or(event.stream, StreamId::Client);
        Ok(Self {
            merchant: data.id("merchant_id")?,
            amount: data.money("amount")?,
            card: card.maybe_id("id")?,
            face: Face::read(card)?,
            automatic: match data.text("capture")? {
                "automatic" => true,
                "manual" => false,
                _ => return Err(Malformed::new("capture", "automatic or manual")),
            },
            reference: data.maybe_text("reference")?.map(Into::into),
            description: desk.open(event, data, ("description", Form::Text), subject)?,
            metadata: desk.open(event, data, ("metadata", Form::Metadata), subject)?,
        })
    }
}

/// Reads an amount in the payment's currency, not below zero.
fn minor(data: Fields<'_>, name: &'static str, currency: Currency) -> Result<i128, Malformed> {
    let money = data.money(name)?;
    let fits = money.currency == currency && money.minor >= 0;
    fits.then_some(money.minor).ok_or(Malformed::new(name, "an amount in the payment's currency"))
}

fn payment_id(event: &Event) -> Result<PaymentId, Malformed> {
    match event.stream {
        StreamId::Payment(id) => Ok(id),
        _ => Err(Malformed::new("stream_id", "a payment's")),
    }
}
