//! Attempts to pay: authorized or declined, for the first reason that holds.

use ledger_core::ids::{ClientId, StreamId};

use super::account::{Holder, Move, Purpose};
use super::card::{Face, Status};
use super::event::Event;
use super::fields::{Fields, Malformed};
use super::fx::Funding;
use super::ledger::{Desk, Duty, Ledger};
use super::moment::Moment;
use super::money::{AMOUNT_MAX, Money};
use super::payment::{Approved, Details, Payment, Standing, payment_id};
use super::subject::Form;

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

/// What pays for an amount.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Means {
    /// The payment's own currency.
    Own,
    /// Another, because its own does not cover the amount.
    Exchanged(Funding),
    /// Neither covers it.
    None,
}

impl Ledger {
    pub(super) fn payment_authorized(
        &mut self,
        event: &Event,
        desk: &mut Desk<'_>,
    ) -> Result<Vec<Move>, Malformed> {
        let id = payment_id(event)?;
        // Version 1 knew no other currency than the payment's.
        let own: &[&str] = match event.schema_version {
            1 => &["client_id", "expires_at"],
            _ => &["client_id", "expires_at", "funding"],
        };
        let data = event.data_of(&[own, DETAILS])?;
        let client: ClientId = data.id("client_id")?;
        let funding = Funding::read(data)?;
        let details = Details::read(event, data, Some(client), desk)?;
        self.check_attempt(event, &details, Some(client), Stage::Authorized, desk);
        let expected = match self.means(client, details.amount, event.at) {
            Means::Own => None,
            Means::Exchanged(expected) => Some(expected),
            // Told already, as no attempt that fits.
            Means::None => funding,
        };
        desk.check.same("funding", described(expected), described(funding));
        let expires_at = data.moment("expires_at")?;
        let fits = expires_at.is_days_after(event.at);
        desk.check.holds(fits, "expires_at", "whole days later than the event", expires_at);
        if details.automatic {
            self.duty = Some(Duty::Capture(id));
        }
        let begun = Approved { authorized: 0, ..Approved::new(client, details.amount, funding, expires_at) };
        let hold = begun.hold(details.amount.minor);
        let totals = Approved { authorized: details.amount.minor, ..begun };
        self.begin(id, details, totals, event.position);
        Ok(vec![hold])
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

    /// Finds what pays for an amount: its own currency if that covers it, else the alphabetically first with
    /// a rate to it that does.
    fn means(&self, client: ClientId, amount: Money, at: Moment) -> Means {
        let available = |currency| self.balance(Holder::Client(client), currency, Purpose::Available);
        if available(amount.currency) >= amount.minor {
            return Means::Own;
        }
        let covers = |funding: &Funding| {
            let cost = funding.rate.cost(amount.minor, amount.currency, funding.currency);
            cost <= available(funding.currency)
        };
        let mut rates = self.rates_to(amount.currency, at);
        rates.find(covers).map_or(Means::None, Means::Exchanged)
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
        let Details { merchant, amount, face, .. } = details;
        self.check_active(*merchant, desk);
        let check = &mut desk.check;
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
                let is_closed = self.clients.get(&holder).is_some_and(|client| client.closed_at.is_some());
                let is_blocked = card.status == Status::Blocked || is_closed;
                fits(
                    "card_blocked if and only if the card is, or its client closed",
                    is_blocked == (stage == Stage::CardBlocked),
                );
            }
            if stage >= Stage::InsufficientFunds {
                let is_short = self.means(holder, *amount, event.at) == Means::None;
                fits(
                    "insufficient_funds if and only if no currency covers the amount",
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

fn described(funding: Option<Funding>) -> String {
    funding.map_or_else(|| "the payment's own currency".to_owned(), |funding| funding.to_string())
}
