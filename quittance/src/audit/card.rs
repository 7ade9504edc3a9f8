//! Cards: issued, blocked by a person or by wrong attempts, unblocked.

use chrono::{Datelike, NaiveDate};
use ledger_core::ids::{CardId, ClientId, StreamId};
use serde_json::{Map, Value};

use super::account::Move;
use super::event::Event;
use super::fields::{Fields, Malformed};
use super::ledger::{Desk, Duty, Ledger};
use super::subject::Form;

/// So many wrong expiries or CVCs in a row block a card.
const WRONG_ATTEMPTS_MAX: u32 = 5;

/// The machine's reason for blocking a card after that.
const TOO_MANY_ATTEMPTS: &str = "too_many_attempts";

/// The brands.
const BRANDS: [&str; 8] = ["visa", "mastercard", "amex", "discover", "diners", "jcb", "unionpay", "maestro"];

/// A card.
#[derive(Clone, Debug)]
pub(super) struct Card {
    pub(super) client: ClientId,
    pub(super) face: Face,
    /// The data of the event that issued it.
    pub(super) issued: Map<String, Value>,
    pub(super) status: Status,
    /// How many events have changed it: those of its stream, and attempts to pay that counted.
    pub(super) changes: u64,
    /// The position of the last one.
    pub(super) position: u64,
}

/// Whether a card can pay.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Status {
    /// It can, after so many wrong attempts in a row.
    Active(u32),
    /// It can't.
    Blocked,
}

impl Status {
    /// The name in the write side and in the read models.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Active(_) => "active",
            Self::Blocked => "blocked",
        }
    }
}

/// What is known of a card by looking at it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Face {
    /// `None` for a number of no brand.
    pub(super) brand: Option<&'static str>,
    pub(super) last4: Box<str>,
    pub(super) exp_month: u8,
    pub(super) exp_year: u16,
}

impl Face {
    /// Reads the members of a card; the brand may be null where the number may be no card's.
    pub(super) fn read(data: Fields<'_>) -> Result<Self, Malformed> {
        let brand = data.maybe_text("brand")?;
        let known = brand.map(|name| BRANDS.into_iter().find(|known| *known == name));
        let last4 = data.text("last4")?;
        if last4.len() != 4 || !last4.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(Malformed::new("last4", "four digits"));
        }
        let (month, year) = (data.number("exp_month")?, data.number("exp_year")?);
        if !(1..=12).contains(&month) || !(1000..=9999).contains(&year) {
            return Err(Malformed::new("expiry", "a month and a year of four digits"));
        }
        Ok(Self {
            brand: known.map(|known| known.ok_or(Malformed::new("brand", "a brand"))).transpose()?,
            last4: last4.into(),
            exp_month: u8::try_from(month).unwrap_or_default(),
            exp_year: u16::try_from(year).unwrap_or_default(),
        })
    }

    pub(super) const fn expiry(&self) -> (u16, u8) {
        (self.exp_year, self.exp_month)
    }

    /// Tells whether the month's end has passed on a day.
    pub(super) fn is_past(&self, today: NaiveDate) -> bool {
        (i32::from(self.exp_year), u32::from(self.exp_month)) < (today.year(), today.month())
    }
}

impl Card {
    /// Sets the status and counts the change.
    const fn change(&mut self, status: Status, position: u64) {
        self.status = status;
        self.changes += 1;
        self.position = position;
    }
}

impl Ledger {
    pub(super) fn card_issued(&mut self, event: &Event, desk: &mut Desk<'_>) -> Result<Vec<Move>, Malformed> {
        let id = card_id(event)?;
        let data = event.data_of(&[
            &["client_id", "brand", "last4", "exp_month", "exp_year"],
            &["registered", "fingerprint_key", "cvc_key"],
        ])?;
        data.flag("registered")?;
        data.number("fingerprint_key")?;
        data.number("cvc_key")?;
        let client: ClientId = data.id("client_id")?;
        let face = Face::read(data)?;
        desk.check.holds(face.brand.is_some(), "brand", "a brand", "none");
        desk.check.holds(self.clients.contains_key(&client), "client_id", "a client that was opened", client);
        self.check_open(client, desk);
        let mut card =
            Card { client, face, issued: data.0.clone(), status: Status::Blocked, changes: 0, position: 0 };
        card.change(Status::Active(0), event.position);
        self.cards.insert(id, card);
        Ok(Vec::new())
    }

    pub(super) fn card_blocked(
        &mut self,
        event: &Event,
        desk: &mut Desk<'_>,
    ) -> Result<Vec<Move>, Malformed> {
        let id = card_id(event)?;
        let data = event.data_of(&[&["client_id", "reason"]])?;
        let by_attempts = desk.due == Some(Duty::Block(id));
        if by_attempts || data.0.get("reason").is_some_and(Value::is_string) {
            let fits = by_attempts && data.text("reason") == Ok(TOO_MANY_ATTEMPTS);
            desk.check.holds(fits, "reason", "too_many_attempts, after five and only then", "otherwise");
        } else {
            self.check_reason(event, data, desk)?;
        }
        self.change_card(id, event, data, Status::Blocked, desk)
    }

    pub(super) fn card_unblocked(
        &mut self,
        event: &Event,
        desk: &mut Desk<'_>,
    ) -> Result<Vec<Move>, Malformed> {
        let data = event.data_of(&[&["client_id", "reason"]])?;
        self.check_reason(event, data, desk)?;
        self.change_card(card_id(event)?, event, data, Status::Active(0), desk)
    }

    fn check_reason(&self, event: &Event, data: Fields<'_>, desk: &mut Desk<'_>) -> Result<(), Malformed> {
        let holder = StreamId::Client(data.id("client_id")?);
        desk.open(event, data, ("reason", Form::Text), holder).map(|_| ())
    }

    fn change_card(
        &mut self,
        id: CardId,
        event: &Event,
        data: Fields<'_>,
        status: Status,
        desk: &mut Desk<'_>,
    ) -> Result<Vec<Move>, Malformed> {
        let card = self.cards.get_mut(&id).ok_or(Malformed::new("stream_id", "a card that was issued"))?;
        desk.check.same("client_id", card.client, data.id("client_id")?);
        // An active card with wrong attempts can be unblocked too: that forgets them.
        let was_other = card.status != status;
        desk.check.holds(was_other, "status before", "another one", card.status.name());
        card.change(status, event.position);
        Ok(Vec::new())
    }

    /// Counts an attempt to pay: a wrong expiry or CVC adds up, a right pair begins anew, a blocked card
    /// counts no more. The fifth wrong one asks for a block.
    pub(super) fn count_attempt(&mut self, id: CardId, wrong: bool, position: u64) {
        let Some(card) = self.cards.get_mut(&id) else { return };
        let Status::Active(before) = card.status else { return };
        let attempts = if wrong { before + 1 } else { 0 };
        if attempts != before {
            card.change(Status::Active(attempts), position);
        }
        if attempts >= WRONG_ATTEMPTS_MAX {
            self.duty = Some(Duty::Block(id));
        }
    }
}

fn card_id(event: &Event) -> Result<CardId, Malformed> {
    match event.stream {
        StreamId::Card(id) => Ok(id),
        _ => Err(Malformed::new("stream_id", "a card's")),
    }
}
