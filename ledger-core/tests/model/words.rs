//! What can be told to the ledger, in small numbers: the words that the model and its plans share.
//!
//! Beside them are tables of names, one row for each word: events, codes, statuses, accounts, parts of a payment.
//! When something may be done, and how much it comes to, is the model's.

use std::collections::BTreeMap;
use std::ops::{Index, IndexMut};

/// A day, in microseconds.
pub const DAY: i128 = 86_400_000_000;

/// No balance and no payment's total may pass it.
pub const LIMIT: i128 = 9_007_199_254_740_991;

/// An ISO 4217 code.
pub type Currency = &'static str;
/// Minor units of a currency.
pub type Money = (i128, Currency);
/// Digits, and how many of them are decimals: (10850, 4) is 1.0850.
pub type Decimal = (i128, u32);

/// The currency that pays, the rate, and the payment's own currency; if they are the same, the rate is 1.
pub type Funding = (Currency, Decimal, Currency);
/// A rate, and until when it is valid.
pub type Rate = (Decimal, i128);

/// The code that refuses something, if one does.
pub type Refused = Result<(), &'static str>;

/// Currencies of all lengths.
pub const CURRENCIES: [Currency; 5] = ["EUR", "JPY", "KWD", "CLF", "USD"];

/// How many decimals a currency's amounts have.
pub fn decimals(currency: Currency) -> u32 {
    match currency {
        "JPY" => 0,
        "KWD" => 3,
        "CLF" => 4,
        _ => 2,
    }
}

/// Writes a decimal as requests do.
pub fn written((digits, decimals): Decimal) -> String {
    let digits = format!("{digits:0>width$}", width = decimals as usize + 1);
    let (whole, part) = digits.split_at(digits.len() - decimals as usize);
    if part.is_empty() { whole.to_owned() } else { format!("{whole}.{part}") }
}

/// A rate as a fraction: minor units of what is paid in per minor unit of what pays.
pub fn fraction((digits, scale): Decimal, pays: Currency, paid_in: Currency) -> (i128, i128) {
    (digits * 10_i128.pow(decimals(paid_in)), 10_i128.pow(scale + decimals(pays)))
}

/// What a list has in a currency.
pub fn amount_in(list: &[Money], currency: Currency) -> i128 {
    list.iter().find(|money| money.1 == currency).map_or(0, |money| money.0)
}

/// A map of numbers: what is not in it is zero.
#[derive(Clone, Debug)]
pub struct Sums<K>(BTreeMap<K, i128>);

impl<K> Default for Sums<K> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<K: Ord> Index<K> for Sums<K> {
    type Output = i128;

    fn index(&self, key: K) -> &i128 {
        self.0.get(&key).unwrap_or(&0)
    }
}

impl<K: Ord> IndexMut<K> for Sums<K> {
    fn index_mut(&mut self, key: K) -> &mut i128 {
        self.0.entry(key).or_default()
    }
}

impl<K: Ord> Sums<K> {
    pub fn shift(&mut self, from: K, to: K, amount: i128) {
        self[from] -= amount;
        self[to] += amount;
    }

    /// The sum of all numbers from a key on.
    pub fn since(&self, first: K) -> i128 {
        self.0.range(first..).map(|(_, number)| number).sum()
    }

    pub fn iter(&self) -> impl Iterator<Item = (&K, &i128)> {
        self.0.iter()
    }
}

/// What has a status.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Thing {
    Client(u8),
    Card(u8),
    Merchant(u8),
    Key(u8),
    Payment(u8),
    /// The one that a payment's authorization is about to expire.
    Warning(u8),
    Dispute(u8),
    Payout(u8),
    Correction(u8),
}

/// Where money of a payment is: sums from a part on are totals.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Part {
    /// From here on it is what was authorized.
    Released,
    /// From here on it is what is promised to the merchant.
    Capturable,
    /// From here on it is captured.
    Refundable,
    Disputed,
    /// From here on it went back to the client.
    Refunded,
    ChargedBack,
}

/// What was captured: the day on which it settles, gross, and the fee.
pub type Captured = (i128, i128, i128);

/// Of a merchant in a currency: count, gross, fees, what was absorbed, and the amount.
pub type Settlement = (u8, Currency, [i128; 5]);

/// An account, by its owner's number.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Account {
    ClientAvailable(u8),
    ClientHeld(u8),
    Pending(u8),
    Available(u8),
    Reserved(u8),
    InTransit(u8),
    Bank,
    Fees,
    Fx,
    Losses,
}

/// A merchant's settings.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Settings {
    /// In ten thousandths of a percent.
    pub percent: i128,
    pub fixed: &'static [Money],
    /// In days.
    pub delay: i128,
    pub keeps_fee: bool,
    pub limit: &'static [Money],
}

/// One command.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Step {
    OpenClient(u8),
    IssueCard {
        client: u8,
        number: u8,
    },
    OpenMerchant(u8, Settings),
    ChangeSettings(u8, Settings),
    CreateKey(u8, Option<u8>),
    /// Makes something so, or not so any more.
    Set(Flag, u8, bool),
    /// Money comes, goes or is lost.
    Move(Cash, u8, Money),
    Pay {
        id: u8,
        merchant: u8,
        number: u8,
        money: Money,
        automatic: bool,
        mistake: Mistake,
        days: i128,
    },
    /// Something is done with a payment: by a merchant, or by the house.
    Act {
        id: u8,
        by: Option<u8>,
        act: Act,
    },
    Settle {
        merchant: Option<u8>,
        currency: Option<Currency>,
        as_of: Option<i128>,
    },
    RequestPayout {
        id: u8,
        merchant: u8,
        money: Money,
    },
    ChangePayout(u8, News),
    SetRate {
        from: Currency,
        to: Currency,
        rate: Decimal,
        valid_until: i128,
    },
    /// Asks, with a key, that what the nth step did is taken back; that belongs to a day.
    RequestCorrection {
        id: u8,
        nth: usize,
        day: i128,
        by: u8,
    },
    /// Takes it back, with a key.
    ApproveCorrection {
        id: u8,
        by: u8,
    },
}

/// What is so of a client, card, merchant or key, or is not.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Flag {
    Closed,
    Blocked,
    Suspended,
    Revoked,
}

/// Money of a client or merchant that comes from outside or goes there.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Cash {
    Deposit,
    Withdrawal,
    MerchantDeposit,
    WriteOff,
}

/// What is done with a payment.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Act {
    Increment(Money),
    /// The rest is given up if it is final.
    Capture(Option<Money>, bool),
    Void,
    Refund(Option<Money>),
    Warn,
    Expire,
    /// Opens the dispute of that number; by those that follow it goes on.
    Dispute(u8, Option<Money>),
    /// The merchant submits evidence.
    Submit(u8),
    Win(u8),
    Lose(u8),
    LoseUnanswered(u8),
    Reopen(u8),
}

impl Thing {
    pub fn number(self) -> u8 {
        match self {
            Self::Client(id) | Self::Card(id) | Self::Merchant(id) | Self::Key(id) => id,
            Self::Payment(id) | Self::Warning(id) | Self::Dispute(id) => id,
            Self::Payout(id) | Self::Correction(id) => id,
        }
    }
}

impl Account {
    /// The client or merchant that has it, if it is not the house's.
    pub fn owner(self) -> Option<Thing> {
        match self {
            Self::ClientAvailable(id) | Self::ClientHeld(id) => Some(Thing::Client(id)),
            Self::Pending(id) | Self::Available(id) | Self::Reserved(id) | Self::InTransit(id) => {
                Some(Thing::Merchant(id))
            }
            Self::Bank | Self::Fees | Self::Fx | Self::Losses => None,
        }
    }
}

impl Flag {
    /// Of what it is so.
    pub fn of(self, id: u8) -> Thing {
        match self {
            Self::Closed => Thing::Client(id),
            Self::Blocked => Thing::Card(id),
            Self::Suspended => Thing::Merchant(id),
            Self::Revoked => Thing::Key(id),
        }
    }

    /// The status of what it is so of, or not so of.
    pub fn status(self, is_so: bool) -> &'static str {
        match (self, is_so) {
            (Self::Closed, true) => "closed",
            (Self::Closed, false) => "open",
            (Self::Blocked, true) => "blocked",
            (Self::Suspended, true) => "suspended",
            (Self::Revoked, true) => "revoked",
            (_, false) => "active",
        }
    }
}

impl Cash {
    /// From where the money of that client or merchant comes, and to where it goes.
    pub fn accounts(self, id: u8) -> [Account; 2] {
        match self {
            Self::Deposit => [Account::Bank, Account::ClientAvailable(id)],
            Self::Withdrawal => [Account::ClientAvailable(id), Account::Bank],
            Self::MerchantDeposit => [Account::Bank, Account::Available(id)],
            Self::WriteOff => [Account::Losses, Account::Available(id)],
        }
    }

    /// Whose money it is.
    pub fn owner(self, id: u8) -> Thing {
        match self {
            Self::Deposit | Self::Withdrawal => Thing::Client(id),
            Self::MerchantDeposit | Self::WriteOff => Thing::Merchant(id),
        }
    }
}

impl Act {
    /// The money that it asks for.
    pub fn asked(&mut self) -> Option<&mut Money> {
        match self {
            Self::Increment(money) => Some(money),
            Self::Capture(asked, _) | Self::Refund(asked) | Self::Dispute(_, asked) => asked.as_mut(),
            _ => None,
        }
    }

    /// The dispute that goes on by it.
    pub fn dispute(self) -> Option<u8> {
        match self {
            Self::Submit(id)
            | Self::Win(id)
            | Self::Lose(id)
            | Self::LoseUnanswered(id)
            | Self::Reopen(id) => Some(id),
            _ => None,
        }
    }

    /// Which part of the payment it is about, and where the money is then.
    pub fn parts(self) -> [Part; 2] {
        match self {
            Self::Increment(_) | Self::Warn => [Part::Capturable, Part::Capturable],
            Self::Capture(..) => [Part::Capturable, Part::Refundable],
            Self::Void | Self::Expire => [Part::Capturable, Part::Released],
            Self::Refund(_) => [Part::Refundable, Part::Refunded],
            Self::Dispute(..) | Self::Reopen(_) => [Part::Refundable, Part::Disputed],
            Self::Submit(_) => [Part::Disputed, Part::Disputed],
            Self::Win(_) => [Part::Disputed, Part::Refundable],
            Self::Lose(_) | Self::LoseUnanswered(_) => [Part::Disputed, Part::ChargedBack],
        }
    }

    /// What it is refused for if there is nothing of that part, or less than asked.
    pub fn codes(self) -> [&'static str; 2] {
        match self {
            Self::Increment(_) => ["payment_not_incrementable", ""],
            Self::Capture(..) => ["payment_not_capturable", "capture_exceeds_authorization"],
            Self::Void => ["payment_not_voidable", ""],
            Self::Refund(_) => ["payment_not_refundable", "refund_exceeds_captured"],
            Self::Dispute(..) | Self::Reopen(_) => ["payment_not_disputable", "dispute_exceeds_refundable"],
            Self::Submit(_) | Self::Win(_) | Self::Lose(_) => ["dispute_closed", "dispute_closed"],
            Self::Warn | Self::Expire | Self::LoseUnanswered(_) => ["nothing", "nothing"],
        }
    }
}

impl Step {
    /// The event that tells of it, if all goes well.
    pub fn event(&self) -> &'static str {
        match self {
            Self::OpenClient(_) => "client.opened",
            Self::IssueCard { .. } => "card.issued",
            Self::OpenMerchant(..) => "merchant.opened",
            Self::ChangeSettings(..) => "merchant.settings_changed",
            Self::CreateKey(..) => "api_key.created",
            Self::Set(Flag::Closed, ..) => "client.closed",
            Self::Set(Flag::Blocked, _, true) => "card.blocked",
            Self::Set(Flag::Blocked, _, false) => "card.unblocked",
            Self::Set(Flag::Suspended, _, true) => "merchant.suspended",
            Self::Set(Flag::Suspended, _, false) => "merchant.reinstated",
            Self::Set(Flag::Revoked, ..) => "api_key.revoked",
            Self::Move(Cash::Deposit, ..) => "client.deposited",
            Self::Move(Cash::Withdrawal, ..) => "client.withdrawn",
            Self::Move(Cash::MerchantDeposit, ..) => "merchant.deposited",
            Self::Move(Cash::WriteOff, ..) => "merchant.balance_written_off",
            Self::Pay { .. } => "payment.authorized",
            Self::Act { act, .. } => match act {
                Act::Increment(_) => "payment.authorization_incremented",
                Act::Capture(..) => "payment.captured",
                Act::Void => "payment.voided",
                Act::Refund(_) => "payment.refunded",
                Act::Warn => "payment.authorization_expiring",
                Act::Expire => "payment.expired",
                Act::Dispute(..) => "payment.disputed",
                Act::Submit(_) => "payment.dispute_evidence_submitted",
                Act::Win(_) => "payment.dispute_won",
                Act::Lose(_) | Act::LoseUnanswered(_) => "payment.dispute_lost",
                Act::Reopen(_) => "payment.dispute_reopened",
            },
            Self::Settle { .. } => "settlement.closed",
            Self::RequestPayout { .. } => "payout.requested",
            Self::ChangePayout(_, News::Paid) => "payout.paid",
            Self::ChangePayout(_, News::Failed) => "payout.failed",
            Self::ChangePayout(_, News::Returned) => "payout.returned",
            Self::SetRate { .. } => "fx.rate_set",
            Self::RequestCorrection { .. } => "correction.requested",
            Self::ApproveCorrection { .. } => "correction.approved",
        }
    }

    /// What has to be there for it.
    pub fn of(&self) -> Option<Thing> {
        match *self {
            Self::IssueCard { client, .. } => Some(Thing::Client(client)),
            Self::ChangeSettings(id, _) => Some(Thing::Merchant(id)),
            Self::CreateKey(_, merchant) | Self::Settle { merchant, .. } => merchant.map(Thing::Merchant),
            Self::Set(flag, id, _) => Some(flag.of(id)),
            Self::Move(cash, id, _) => Some(cash.owner(id)),
            Self::Pay { merchant, .. } | Self::RequestPayout { merchant, .. } => {
                Some(Thing::Merchant(merchant))
            }
            Self::Act { id, .. } => Some(Thing::Payment(id)),
            Self::ChangePayout(id, _) => Some(Thing::Payout(id)),
            Self::ApproveCorrection { id, .. } => Some(Thing::Correction(id)),
            Self::OpenClient(_) | Self::OpenMerchant(..) => None,
            Self::SetRate { .. } | Self::RequestCorrection { .. } => None,
        }
    }

    /// What gets another status by it, and which.
    pub fn change(&self) -> Option<(Thing, &'static str)> {
        Some(match *self {
            Self::OpenClient(id) => (Thing::Client(id), "open"),
            Self::IssueCard { number, .. } => (Thing::Card(number), "active"),
            Self::OpenMerchant(id, _) => (Thing::Merchant(id), "active"),
            Self::CreateKey(id, _) => (Thing::Key(id), "active"),
            Self::Set(flag, id, to) => (flag.of(id), flag.status(to)),
            Self::Pay { id, .. } => (Thing::Payment(id), "authorized"),
            Self::Act { id, act: Act::Void, .. } => (Thing::Payment(id), "voided"),
            Self::Act { id, act: Act::Warn, .. } => (Thing::Warning(id), "warned"),
            Self::Act { id, act: Act::Expire, .. } => (Thing::Payment(id), "expired"),
            Self::Act { act: Act::Dispute(id, _) | Act::Reopen(id), .. } => {
                (Thing::Dispute(id), "needs_response")
            }
            Self::Act { act: Act::Submit(id), .. } => (Thing::Dispute(id), "under_review"),
            Self::Act { act: Act::Win(id), .. } => (Thing::Dispute(id), "won"),
            Self::Act { act: Act::Lose(id) | Act::LoseUnanswered(id), .. } => (Thing::Dispute(id), "lost"),
            Self::RequestPayout { id, .. } => (Thing::Payout(id), "requested"),
            Self::ChangePayout(id, News::Paid) => (Thing::Payout(id), "paid"),
            Self::ChangePayout(id, News::Failed) => (Thing::Payout(id), "failed"),
            Self::ChangePayout(id, News::Returned) => (Thing::Payout(id), "returned"),
            Self::RequestCorrection { id, .. } => (Thing::Correction(id), "requested"),
            Self::ApproveCorrection { id, .. } => (Thing::Correction(id), "approved"),
            _ => return None,
        })
    }

    /// From where to where money comes by it, by where what it made stands: cash, and payouts.
    pub fn moves(&self, status: &str) -> Option<([Account; 2], Money)> {
        match (*self, status) {
            (Self::Move(cash, id, money), _) => Some((cash.accounts(id), money)),
            (Self::RequestPayout { merchant, money, .. }, "requested") => {
                Some(([Account::Available(merchant), Account::InTransit(merchant)], money))
            }
            (Self::RequestPayout { merchant, money, .. }, "paid") => {
                Some(([Account::Available(merchant), Account::Bank], money))
            }
            _ => None,
        }
    }

    /// What it is refused for if an account has too little for it.
    pub fn lacking(&self) -> &'static str {
        match self {
            Self::Act { act: Act::Increment(_), .. } => "insufficient_funds",
            _ => "insufficient_available_balance",
        }
    }
}

/// What a payer got wrong.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Mistake {
    None,
    Number,
    PastExpiry,
    UnknownCard,
    Expiry,
    Cvc,
}

/// What the bank says of a payout.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum News {
    Paid,
    Failed,
    Returned,
}

impl Mistake {
    /// What the payment is declined for then.
    pub fn code(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Number => "invalid_number",
            Self::PastExpiry => "expired_card",
            Self::UnknownCard => "card_not_recognised",
            Self::Expiry => "invalid_expiry",
            Self::Cvc => "invalid_cvc",
        }
    }
}

impl News {
    /// Where a payout has to stand for it.
    pub fn needs(self) -> &'static str {
        match self {
            Self::Paid | Self::Failed => "requested",
            Self::Returned => "paid",
        }
    }
}
