//! The part of the ledger's state that commands are decided on.
//!
//! A [`State`] holds records by [`Key`]; a key that was looked up and found empty is known to be absent.
//! [`State::needs`] names what a command still needs looked up, [`State::decide`] decides it, and
//! [`State::evolve`] folds the events back in, so that the next command sees them.

use std::collections::{BTreeSet, HashMap};

use crate::api_key::{self, ApiKey};
use crate::balance::{ClientBalance, MerchantBalance, RowVersion};
use crate::card::{self, Card, CardStatus};
use crate::card_number::Fingerprint;
use crate::client::{self, Client};
use crate::command::{Authorize, Command, Context};
use crate::correction::{self, Correction, Means, Standing};
use crate::envelope::{Draft, Envelope};
use crate::event::{DeclineCode, Event, Funding};
use crate::fx::{self, FxRate};
use crate::ids::{
    CardId, ClientId, CorrectionId, EventId, KeyId, MerchantId, PaymentId, PayoutId, ReconciliationId,
    SettlementId, StreamId,
};
use crate::journal::Owner;
use crate::merchant::{self, Merchant};
use crate::money::Currency;
use crate::payment::{self, Payer, Payment};
use crate::payout::{self, Payout};
use crate::reconciliation::statement::FileHash;
use crate::reconciliation::{self, Reconciliation};
use crate::rejection::Rejection;
use crate::settlement::{self, Settlement};
use crate::stamp::Stamp;
use crate::time::Timestamp;

/// Names one record.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Key {
    /// A client.
    Client(ClientId),
    /// A merchant.
    Merchant(MerchantId),
    /// A card.
    Card(CardId),
    /// The card of a number.
    CardOf(Fingerprint),
    /// A payment.
    Payment(PaymentId),
    /// An API key.
    ApiKey(KeyId),
    /// A client's balance in a currency.
    ClientBalance(ClientId, Currency),
    /// A merchant's balance in a currency.
    MerchantBalance(MerchantId, Currency),
    /// A settlement.
    Settlement(SettlementId),
    /// A payout.
    Payout(PayoutId),
    /// A correction.
    Correction(CorrectionId),
    /// The correction that has reversed an event.
    CorrectionOf(EventId),
    /// The rate from one currency to another.
    FxRate(Currency, Currency),
    /// A reconciliation.
    Reconciliation(ReconciliationId),
    /// The reconciliation of a file.
    ReconciliationOf(FileHash),
}

/// One record.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Record {
    /// A client.
    Client(Client),
    /// A merchant.
    Merchant(Merchant),
    /// A card.
    Card(Card),
    /// The card of a number.
    CardOf(CardId),
    /// A payment.
    Payment(Box<Payment>),
    /// An API key.
    ApiKey(ApiKey),
    /// A client's balance.
    ClientBalance(ClientBalance),
    /// A merchant's balance.
    MerchantBalance(MerchantBalance),
    /// A settlement.
    Settlement(Settlement),
    /// A payout.
    Payout(Payout),
    /// A correction.
    Correction(Box<Correction>),
    /// The correction that has reversed an event.
    CorrectionOf(CorrectionId),
    /// A rate.
    FxRate(FxRate),
    /// A reconciliation.
    Reconciliation(Box<Reconciliation>),
    /// The reconciliation of a file.
    ReconciliationOf(ReconciliationId),
}

impl Record {
    /// Returns the version of the write side's row that keeps the record: how many events changed it, and
    /// the last one's position. `None` for what has no row of its own.
    pub fn row(&self) -> Option<RowVersion> {
        let of = |stamp: &Stamp| RowVersion { version: stamp.version, position: stamp.position };
        match self {
            Self::Client(client) => Some(of(&client.stamp)),
            Self::Merchant(merchant) => Some(of(&merchant.stamp)),
            Self::ApiKey(key) => Some(of(&key.stamp)),
            Self::Card(card) => Some(card.row),
            Self::ClientBalance(balance) => Some(balance.row),
            Self::MerchantBalance(balance) => Some(balance.row),
            Self::CardOf(_)
            | Self::Payment(_)
            | Self::Settlement(_)
            | Self::Payout(_)
            | Self::Correction(_)
            | Self::CorrectionOf(_)
            | Self::FxRate(_)
            | Self::Reconciliation(_)
            | Self::ReconciliationOf(_) => None,
        }
    }
}

/// Records that were looked up, and what has become of them since.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct State {
    records: HashMap<Key, Option<Record>>,
    touched: BTreeSet<Key>,
}

macro_rules! getters {
    ($($(#[$doc:meta])* $name:ident($($arg:ident: $type:ty),+) -> $record:ident;)+) => {$(
        $(#[$doc])*
        pub fn $name(&self, $($arg: $type),+) -> Option<&$record> {
            match self.get(&Key::$record($($arg),+)) {
                Some(Record::$record(record)) => Some(record),
                _ => None,
            }
        }
    )+};
}

impl State {
    getters! {
        /// Finds a client.
        client(id: ClientId) -> Client;
        /// Finds a merchant.
        merchant(id: MerchantId) -> Merchant;
        /// Finds a card.
        card(id: CardId) -> Card;
        /// Finds a payment.
        payment(id: PaymentId) -> Payment;
        /// Finds an API key.
        api_key(id: KeyId) -> ApiKey;
        /// Finds a settlement.
        settlement(id: SettlementId) -> Settlement;
        /// Finds a payout.
        payout(id: PayoutId) -> Payout;
        /// Finds a correction.
        correction(id: CorrectionId) -> Correction;
        /// Finds a reconciliation.
        reconciliation(id: ReconciliationId) -> Reconciliation;
    }

    /// Returns a client's balance; zero where there is none yet.
    pub fn client_balance(&self, id: ClientId, currency: Currency) -> ClientBalance {
        match self.get(&Key::ClientBalance(id, currency)) {
            Some(Record::ClientBalance(balance)) => balance.clone(),
            _ => ClientBalance::default(),
        }
    }

    /// Returns a merchant's balance; zero where there is none yet.
    pub fn merchant_balance(&self, id: MerchantId, currency: Currency) -> MerchantBalance {
        match self.get(&Key::MerchantBalance(id, currency)) {
            Some(Record::MerchantBalance(balance)) => balance.clone(),
            _ => MerchantBalance::default(),
        }
    }

    /// Finds the card of a number.
    pub fn card_of(&self, fingerprint: Fingerprint) -> Option<CardId> {
        match self.get(&Key::CardOf(fingerprint)) {
            Some(Record::CardOf(id)) => Some(*id),
            _ => None,
        }
    }

    /// Finds the correction that has reversed an event.
    pub fn correction_of(&self, event: EventId) -> Option<CorrectionId> {
        match self.get(&Key::CorrectionOf(event)) {
            Some(Record::CorrectionOf(id)) => Some(*id),
            _ => None,
        }
    }

    /// Finds the rate from one currency to another.
    pub fn fx_rate(&self, from: Currency, to: Currency) -> Option<&FxRate> {
        match self.get(&Key::FxRate(from, to)) {
            Some(Record::FxRate(rate)) => Some(rate),
            _ => None,
        }
    }

    /// Finds the reconciliation of a file.
    pub fn reconciliation_of(&self, file: FileHash) -> Option<&Reconciliation> {
        match self.get(&Key::ReconciliationOf(file)) {
            Some(Record::ReconciliationOf(id)) => self.reconciliation(*id),
            _ => None,
        }
    }

    /// Finds any record.
    pub fn get(&self, key: &Key) -> Option<&Record> {
        self.records.get(key).and_then(Option::as_ref)
    }

    /// Takes in what a look-up found, or that it found nothing.
    pub fn learn(&mut self, key: Key, record: Option<Record>) {
        self.records.insert(key, record);
    }

    /// Returns the keys that events have changed, in order.
    pub const fn touched(&self) -> &BTreeSet<Key> {
        &self.touched
    }

    /// Returns all that is known, for the cache.
    pub fn into_records(self) -> HashMap<Key, Option<Record>> {
        self.records
    }

    /// Names what must be looked up before the command can be decided; empty when nothing is missing.
    ///
    /// What is found can lead to more (a payment to its merchant and client): ask again after each look-up.
    pub fn needs(&self, command: &Command) -> Vec<Key> {
        let mut keys = Vec::new();
        match command {
            Command::OpenClient(_) | Command::OpenMerchant(_) => {}
            Command::Deposit(cash) | Command::Withdraw(cash) => {
                keys.push(Key::Client(cash.client_id));
                keys.push(Key::ClientBalance(cash.client_id, cash.amount.currency));
            }
            Command::CloseClient(close) => {
                keys.push(Key::Client(close.id));
                let currencies = self.client(close.id).map(|client| &client.currencies);
                let balances = currencies.into_iter().flatten();
                keys.extend(balances.map(|currency| Key::ClientBalance(close.id, *currency)));
            }
            Command::IssueCard(issue) => {
                keys.extend([Key::Client(issue.client_id), Key::CardOf(issue.fingerprint)]);
            }
            Command::BlockCard(change) | Command::UnblockCard(change) => keys.push(Key::Card(change.id)),
            Command::ChangeSettings(change) => keys.push(Key::Merchant(change.id)),
            Command::SuspendMerchant(change) | Command::ReinstateMerchant(change) => {
                keys.push(Key::Merchant(change.id));
            }
            Command::DepositToMerchant(deposit) => {
                keys.push(Key::Merchant(deposit.id));
                keys.push(Key::MerchantBalance(deposit.id, deposit.amount.currency));
            }
            Command::WriteOff(write_off) => {
                keys.push(Key::Merchant(write_off.id));
                keys.push(Key::MerchantBalance(write_off.id, write_off.amount.currency));
            }
            Command::CreateKey(create) => keys.extend(create.merchant_id.map(Key::Merchant)),
            Command::RevokeKey(id) => keys.push(Key::ApiKey(*id)),
            Command::Authorize(authorize) => self.authorize_needs(authorize, &mut keys),
            Command::Increment(increment) => self.payment_needs(increment.payment_id, &mut keys),
            Command::Capture(capture) => self.payment_needs(capture.payment_id, &mut keys),
            Command::Void(void) => self.payment_needs(void.payment_id, &mut keys),
            Command::Refund(refund) => self.payment_needs(refund.payment_id, &mut keys),
            Command::WarnOfExpiry(id) | Command::Expire(id) => self.payment_needs(*id, &mut keys),
            Command::OpenDispute(open) => self.payment_needs(open.payment_id, &mut keys),
            Command::SubmitEvidence(submit) => self.payment_needs(submit.dispute.payment_id, &mut keys),
            Command::WinDispute(of) | Command::LoseDispute(of) | Command::LoseUnanswered(of) => {
                self.payment_needs(of.payment_id, &mut keys);
            }
            Command::ReopenDispute(reopen) => self.payment_needs(reopen.dispute.payment_id, &mut keys),
            Command::Settle(settle) => {
                keys.extend(settle.merchant.map(Key::Merchant));
                let candidates = settle.candidates.iter();
                keys.extend(
                    candidates.map(|(merchant, currency)| Key::MerchantBalance(*merchant, *currency)),
                );
            }
            Command::RequestPayout(request) => {
                keys.push(Key::Merchant(request.merchant_id));
                keys.push(Key::MerchantBalance(request.merchant_id, request.amount.currency));
            }
            Command::ChangePayout(change) => {
                keys.push(Key::Payout(change.id));
                keys.extend(self.payout(change.id).map(|payout| {
                    let requested = &payout.requested;
                    Key::MerchantBalance(requested.merchant_id, requested.amount.currency)
                }));
            }
            Command::RequestCorrection(request) => self.reversed_needs(&request.reversed, &mut keys),
            Command::ApproveCorrection(approve) => {
                keys.push(Key::Correction(approve.id));
                self.reversed_needs(&approve.reversed, &mut keys);
            }
            Command::SetFxRate(set) => keys.push(Key::FxRate(set.from, set.to)),
            Command::RunReconciliation(run) => {
                let file = Key::ReconciliationOf(run.file_hash);
                keys.push(file);
                if let Some(Record::ReconciliationOf(id)) = self.get(&file) {
                    keys.push(Key::Reconciliation(*id));
                }
            }
        }
        keys.retain(|key| !self.records.contains_key(key));
        keys
    }

    fn authorize_needs(&self, authorize: &Authorize, keys: &mut Vec<Key>) {
        let amount = authorize.details.amount;
        let merchant_id = authorize.details.merchant_id;
        keys.extend([Key::Merchant(merchant_id), Key::MerchantBalance(merchant_id, amount.currency)]);
        let Some(card_id) = authorize.details.card.id else { return };
        keys.push(Key::Card(card_id));
        let Some(card) = self.card(card_id) else { return };
        let client_id = card.issued.client_id;
        keys.extend([Key::Client(client_id), Key::ClientBalance(client_id, amount.currency)]);
        // Other currencies matter only where the payment's own does not cover it.
        if let Some(client) = self.client(client_id)
            && self.client_balance(client_id, amount.currency).available < amount.amount
        {
            for from in client.currencies.iter().filter(|from| **from != amount.currency) {
                keys.push(Key::ClientBalance(client_id, *from));
                keys.push(Key::FxRate(*from, amount.currency));
            }
        }
    }

    fn payment_needs(&self, id: PaymentId, keys: &mut Vec<Key>) {
        keys.push(Key::Payment(id));
        if let Some(payment) = self.payment(id) {
            let (merchant_id, currency) = (payment.details.merchant_id, payment.currency());
            keys.extend([Key::Merchant(merchant_id), Key::MerchantBalance(merchant_id, currency)]);
            keys.extend(payment.purse().map(|purse| Key::ClientBalance(purse.client_id, purse.pays_in())));
        }
    }

    /// Needs what an event has changed, as it stands now, and whether the event was corrected.
    fn reversed_needs(&self, reversed: &Envelope, keys: &mut Vec<Key>) {
        keys.push(Key::CorrectionOf(reversed.draft.event_id));
        match reversed.stream_id() {
            StreamId::Client(id) => keys.push(Key::Client(id)),
            StreamId::Merchant(id) => keys.push(Key::Merchant(id)),
            StreamId::Payout(id) => keys.push(Key::Payout(id)),
            StreamId::Payment(id) => keys.push(Key::Payment(id)),
            // Nothing that can be corrected.
            StreamId::Card(_)
            | StreamId::Key(_)
            | StreamId::Settlement(_)
            | StreamId::Correction(_)
            | StreamId::Reconciliation(_)
            | StreamId::FxPair(..) => return,
        }
        let balances = reversed.draft.postings.postings().iter().filter_map(|posting| {
            let currency = posting.money().currency;
            Some(match posting.account.owner()? {
                Owner::Client(id) => Key::ClientBalance(id, currency),
                Owner::Merchant(id) => Key::MerchantBalance(id, currency),
            })
        });
        keys.extend(balances);
    }

    /// Decides a command: the events that carry it out (none if it is so already), or why not.
    ///
    /// Total: never panics, whatever the state and the command. What [`Self::needs`] names must be known.
    pub fn decide(&self, command: &Command, context: &Context) -> Result<Vec<Draft>, Rejection> {
        match command {
            Command::OpenClient(open) => Ok(client::open(open, context)),
            Command::Deposit(cash) => {
                let client = self.client(cash.client_id).ok_or(Rejection::NotFound)?;
                let balance = self.client_balance(cash.client_id, cash.amount.currency);
                client::deposit(cash, client, &balance, context)
            }
            Command::Withdraw(cash) => {
                self.client(cash.client_id).ok_or(Rejection::NotFound)?;
                client::withdraw(cash, &self.client_balance(cash.client_id, cash.amount.currency), context)
            }
            Command::CloseClient(close) => {
                let client = self.client(close.id).ok_or(Rejection::NotFound)?;
                let balance = |currency: &Currency| (*currency, self.client_balance(client.id, *currency));
                let balances: Vec<_> = client.currencies.iter().map(balance).collect();
                client::close(close, client, &balances, context)
            }
            Command::IssueCard(issue) => {
                let client = self.client(issue.client_id).ok_or(Rejection::NotFound)?;
                client.check_open()?;
                card::issue(issue, self.card_of(issue.fingerprint), context)
            }
            Command::BlockCard(change) => {
                self.card(change.id).map(|card| card::block(change, card, context)).ok_or(Rejection::NotFound)
            }
            Command::UnblockCard(change) => self
                .card(change.id)
                .map(|card| card::unblock(change, card, context))
                .ok_or(Rejection::NotFound),
            Command::OpenMerchant(open) => Ok(merchant::open(open, context)),
            Command::ChangeSettings(change) => {
                let merchant = self.merchant(change.id).ok_or(Rejection::NotFound)?;
                Ok(merchant::change_settings(change, merchant, context))
            }
            Command::SuspendMerchant(change) => {
                let merchant = self.merchant(change.id).ok_or(Rejection::NotFound)?;
                Ok(merchant::suspend(change, merchant, context))
            }
            Command::ReinstateMerchant(change) => {
                let merchant = self.merchant(change.id).ok_or(Rejection::NotFound)?;
                Ok(merchant::reinstate(change, merchant, context))
            }
            Command::DepositToMerchant(deposit) => {
                self.merchant(deposit.id).ok_or(Rejection::NotFound)?;
                let balance = self.merchant_balance(deposit.id, deposit.amount.currency);
                merchant::deposit(deposit, &balance, context)
            }
            Command::WriteOff(write_off) => {
                self.merchant(write_off.id).ok_or(Rejection::NotFound)?;
                let balance = self.merchant_balance(write_off.id, write_off.amount.currency);
                merchant::write_off(write_off, &balance, context)
            }
            Command::CreateKey(create) => match create.merchant_id {
                Some(id) if self.merchant(id).is_none() => Err(Rejection::NotFound),
                Some(_) | None => Ok(api_key::create(create, context)),
            },
            Command::RevokeKey(id) => {
                self.api_key(*id).map(|key| api_key::revoke(key, context)).ok_or(Rejection::NotFound)
            }
            Command::Authorize(authorize) => {
                let details = &authorize.details;
                let merchant = self.merchant(details.merchant_id).ok_or(Rejection::NotFound)?;
                let merchant_balance = self.merchant_balance(merchant.id, details.amount.currency);
                let payer = self.payer(authorize, context.now);
                payment::authorize(authorize, payer, merchant, &merchant_balance, context)
            }
            Command::Increment(increment) => {
                let (payment, merchant) = self.payment_and_merchant(increment.payment_id)?;
                payment::increment(increment, payment, merchant, &self.purse_balance(payment), context)
            }
            Command::Capture(capture) => {
                let (payment, merchant) = self.payment_and_merchant(capture.payment_id)?;
                let balance = self.merchant_balance(merchant.id, payment.currency());
                payment::capture(capture, payment, merchant, &balance, context)
            }
            Command::Void(void) => {
                let (payment, _) = self.payment_and_merchant(void.payment_id)?;
                payment::void(void, payment, context)
            }
            Command::Refund(refund) => {
                let (payment, merchant) = self.payment_and_merchant(refund.payment_id)?;
                let merchant_balance = self.merchant_balance(merchant.id, payment.currency());
                let client_balance = self.purse_balance(payment);
                payment::refund(refund, payment, merchant, &merchant_balance, &client_balance, context)
            }
            Command::WarnOfExpiry(id) => {
                let (payment, _) = self.payment_and_merchant(*id)?;
                payment::warn_of_expiry(payment, context)
            }
            Command::Expire(id) => {
                let (payment, _) = self.payment_and_merchant(*id)?;
                payment::expire(payment, context)
            }
            Command::OpenDispute(open) => {
                let (payment, merchant) = self.payment_and_merchant(open.payment_id)?;
                let balance = self.merchant_balance(merchant.id, payment.currency());
                payment::open_dispute(open, payment, &balance, context)
            }
            Command::SubmitEvidence(submit) => {
                let (payment, _) = self.payment_and_merchant(submit.dispute.payment_id)?;
                payment::submit_evidence(submit, payment, context)
            }
            Command::WinDispute(of) => {
                let (payment, _) = self.payment_and_merchant(of.payment_id)?;
                payment::win(of, payment, context)
            }
            Command::LoseDispute(of) => {
                let (payment, _) = self.payment_and_merchant(of.payment_id)?;
                payment::lose(of, payment, &self.purse_balance(payment), context)
            }
            Command::LoseUnanswered(of) => {
                let (payment, _) = self.payment_and_merchant(of.payment_id)?;
                payment::lose_unanswered(of, payment, &self.purse_balance(payment), context)
            }
            Command::ReopenDispute(reopen) => {
                let (payment, merchant) = self.payment_and_merchant(reopen.dispute.payment_id)?;
                let balance = self.merchant_balance(merchant.id, payment.currency());
                payment::reopen(reopen, payment, &balance, context)
            }
            Command::Settle(settle) => {
                if settle.merchant.is_some_and(|id| self.merchant(id).is_none()) {
                    return Err(Rejection::NotFound);
                }
                let balances: Vec<_> = settle
                    .candidates
                    .iter()
                    .map(|(merchant, currency)| {
                        (*merchant, *currency, self.merchant_balance(*merchant, *currency))
                    })
                    .collect();
                settlement::settle(settle, &balances, context)
            }
            Command::RequestPayout(request) => {
                let merchant = self.merchant(request.merchant_id).ok_or(Rejection::NotFound)?;
                let balance = self.merchant_balance(merchant.id, request.amount.currency);
                payout::request(request, merchant, &balance, context)
            }
            Command::ChangePayout(change) => {
                let payout = self.payout(change.id).ok_or(Rejection::NotFound)?;
                let requested = &payout.requested;
                let balance = self.merchant_balance(requested.merchant_id, requested.amount.currency);
                payout::change(change, payout, &balance, context)
            }
            Command::RequestCorrection(request) => {
                let reversed = &request.reversed;
                let corrected_by = self.correction_of(reversed.draft.event_id);
                correction::request(request, corrected_by, self.standing(reversed)?, context)
            }
            Command::ApproveCorrection(approve) => {
                let correction = self.correction(approve.id).ok_or(Rejection::NotFound)?;
                let reversed = &approve.reversed;
                let corrected_by = self.correction_of(reversed.draft.event_id);
                let (standing, has) = (self.standing(reversed)?, self.means(reversed));
                correction::approve(approve, correction, corrected_by, standing, &has, context)
            }
            Command::SetFxRate(set) => fx::set_rate(set, context),
            Command::RunReconciliation(run) => {
                Ok(reconciliation::run(run, self.reconciliation_of(run.file_hash), context))
            }
        }
    }

    /// Finds what an event has decided, as it stands now.
    fn standing(&self, reversed: &Envelope) -> Result<Standing<'_>, Rejection> {
        Ok(match (reversed.stream_id(), reversed.event()) {
            (StreamId::Payout(id), Event::PayoutPaid(_)) => {
                Standing::Payout(self.payout(id).ok_or(Rejection::NotFound)?)
            }
            (StreamId::Payment(id), Event::PaymentDisputeLost(lost)) => {
                let payment = self.payment(id).ok_or(Rejection::NotFound)?;
                let (_, dispute) = payment.dispute(lost.dispute_id).ok_or(Rejection::NotFound)?;
                Standing::Dispute(dispute)
            }
            _ => Standing::Cash,
        })
    }

    /// Finds the balances that an event has changed; zero for whom it does not concern.
    fn means(&self, reversed: &Envelope) -> Means {
        let mut means = Means::default();
        for posting in reversed.draft.postings.postings() {
            let currency = posting.money().currency;
            match posting.account.owner() {
                Some(Owner::Client(id)) => means.client = self.client_balance(id, currency),
                Some(Owner::Merchant(id)) => means.merchant = self.merchant_balance(id, currency),
                None => {}
            }
        }
        means
    }

    /// Finds who pays, and with what: the payment's own currency first, then others with a rate to it.
    fn payer(&self, authorize: &Authorize, now: Timestamp) -> Option<Payer<'_>> {
        let currency = authorize.details.amount.currency;
        let card = self.card(authorize.details.card.id?)?;
        let client = self.client(card.issued.client_id)?;
        let available = |currency| self.client_balance(client.id, currency).available;
        let exchanged = client.currencies.iter().filter(|from| **from != currency).filter_map(|from| {
            let rate = self.fx_rate(*from, currency)?.at(now)?;
            Some((Some(Funding { currency: *from, rate }), available(*from)))
        });
        let means = [(None, available(currency))].into_iter().chain(exchanged).collect();
        Some(Payer { card, client, means })
    }

    /// Returns the balance that pays for a payment; zero where nothing was held.
    fn purse_balance(&self, payment: &Payment) -> ClientBalance {
        let purse = payment.purse();
        purse.map(|purse| self.client_balance(purse.client_id, purse.pays_in())).unwrap_or_default()
    }

    fn payment_and_merchant(&self, id: PaymentId) -> Result<(&Payment, &Merchant), Rejection> {
        let payment = self.payment(id).ok_or(Rejection::NotFound)?;
        let merchant = self.merchant(payment.details.merchant_id).ok_or(Rejection::NotFound)?;
        Ok((payment, merchant))
    }

    /// Returns the version of a stream's last event; 0 where there is none.
    pub fn stream_version(&self, stream: StreamId) -> u64 {
        let stamp = match stream {
            StreamId::Client(id) => self.client(id).map(|client| client.stamp),
            StreamId::Merchant(id) => self.merchant(id).map(|merchant| merchant.stamp),
            StreamId::Card(id) => self.card(id).map(|card| card.stamp),
            StreamId::Payment(id) => self.payment(id).map(|payment| payment.stamp),
            StreamId::Key(id) => self.api_key(id).map(|key| key.stamp),
            StreamId::Settlement(id) => self.settlement(id).map(|settlement| settlement.stamp),
            StreamId::Payout(id) => self.payout(id).map(|payout| payout.stamp),
            StreamId::Correction(id) => self.correction(id).map(|correction| correction.stamp),
            StreamId::Reconciliation(id) => self.reconciliation(id).map(|run| run.stamp),
            StreamId::FxPair(from, to) => self.fx_rate(from, to).map(|rate| rate.stamp),
        };
        stamp.map_or(0, |stamp| stamp.version)
    }

    /// Folds an event in: its stream's record, then the balances that it changes.
    pub fn evolve(&mut self, envelope: &Envelope) {
        let open_before = self.open(envelope.stream_id());
        self.evolve_stream(envelope);
        if let Event::JournalCorrected(of) = envelope.event() {
            self.put(Key::CorrectionOf(of.reverses), Record::CorrectionOf(of.correction_id));
        }
        self.post(envelope);
        self.count_open(open_before, envelope);
    }

    fn evolve_stream(&mut self, envelope: &Envelope) {
        match (envelope.stream_id(), envelope.event()) {
            (StreamId::Client(id), Event::ClientOpened(opened)) => {
                self.put(Key::Client(id), Record::Client(Client::open(id, opened, envelope)));
            }
            (StreamId::Client(id), _) => {
                if let Some(Record::Client(client)) = self.touch(Key::Client(id)) {
                    client.evolve(envelope);
                }
            }
            (StreamId::Merchant(id), Event::MerchantOpened(opened)) => {
                self.put(Key::Merchant(id), Record::Merchant(Merchant::open(id, opened, envelope)));
            }
            (StreamId::Merchant(id), _) => {
                if let Some(Record::Merchant(merchant)) = self.touch(Key::Merchant(id)) {
                    merchant.evolve(envelope);
                }
            }
            (StreamId::Card(id), event) => self.evolve_card(id, event, envelope),
            (StreamId::Key(id), Event::ApiKeyCreated(created)) => {
                self.put(Key::ApiKey(id), Record::ApiKey(ApiKey::create(id, created, envelope)));
            }
            (StreamId::Key(id), _) => {
                if let Some(Record::ApiKey(key)) = self.touch(Key::ApiKey(id)) {
                    key.revoke(envelope);
                }
            }
            (StreamId::Payment(id), event) => self.evolve_payment(id, event, envelope),
            (StreamId::Settlement(id), _) => {
                if let Some(settlement) = Settlement::of(envelope) {
                    self.put(Key::Settlement(id), Record::Settlement(settlement));
                }
            }
            (StreamId::Payout(id), Event::PayoutRequested(requested)) => {
                let payout = Payout::request(id, requested, envelope);
                self.put(Key::Payout(id), Record::Payout(payout));
            }
            (StreamId::Payout(id), _) => {
                if let Some(Record::Payout(payout)) = self.touch(Key::Payout(id)) {
                    payout.evolve(envelope);
                }
            }
            (StreamId::Correction(id), Event::CorrectionRequested(requested)) => {
                let correction = Correction::request(id, requested, envelope);
                self.put(Key::Correction(id), Record::Correction(Box::new(correction)));
            }
            (StreamId::Correction(id), _) => {
                if let Some(Record::Correction(correction)) = self.touch(Key::Correction(id)) {
                    correction.evolve(envelope);
                }
            }
            (StreamId::Reconciliation(id), Event::ReconciliationRun(run)) => {
                self.put(Key::ReconciliationOf(run.file_hash), Record::ReconciliationOf(id));
                let begun = Reconciliation::begin(id, run, envelope);
                self.put(Key::Reconciliation(id), Record::Reconciliation(Box::new(begun)));
            }
            (StreamId::Reconciliation(id), _) => {
                if let Some(Record::Reconciliation(run)) = self.touch(Key::Reconciliation(id)) {
                    run.evolve(envelope);
                }
            }
            (StreamId::FxPair(from, to), _) => {
                if let Some(rate) = FxRate::of(envelope) {
                    self.put(Key::FxRate(from, to), Record::FxRate(rate));
                }
            }
        }
    }

    fn evolve_card(&mut self, id: CardId, event: &Event, envelope: &Envelope) {
        if let Event::CardIssued(issued) = event {
            self.put(Key::Card(id), Record::Card(Card::issue(id, issued, envelope)));
            return;
        }
        let blocked = matches!(event, Event::CardBlocked(_));
        let status = if blocked { CardStatus::Blocked } else { CardStatus::Active { wrong_attempts: 0 } };
        if let Some(Record::Card(card)) = self.touch(Key::Card(id)) {
            card.change(status, envelope);
        }
    }

    fn evolve_payment(&mut self, id: PaymentId, event: &Event, envelope: &Envelope) {
        let key = Key::Payment(id);
        match event {
            Event::PaymentAuthorized(authorized) => {
                let payment = Payment::authorize(id, authorized, envelope);
                self.put(key, Record::Payment(Box::new(payment)));
                self.count_attempt(authorized.details.card.id, None, envelope.position);
            }
            Event::PaymentDeclined(declined) => {
                let payment = Payment::decline(id, declined, envelope);
                self.put(key, Record::Payment(Box::new(payment)));
                let code = declined.decline_code;
                if !matches!(code, DeclineCode::InvalidNumber | DeclineCode::ExpiredCard) {
                    self.count_attempt(declined.details.card.id, Some(code), envelope.position);
                }
            }
            _ => {
                if let Some(Record::Payment(payment)) = self.touch(key) {
                    payment.evolve(envelope);
                }
            }
        }
    }

    /// Counts an attempt to pay with a card.
    fn count_attempt(&mut self, card: Option<CardId>, decline: Option<DeclineCode>, position: u64) {
        let Some(key) = card.map(Key::Card) else { return };
        if let Some(Some(Record::Card(card))) = self.records.get_mut(&key)
            && card.count_attempt(decline, position)
        {
            self.touched.insert(key);
        }
    }

    /// Moves the balances, and notes what later settlements need to know.
    fn post(&mut self, envelope: &Envelope) {
        for posting in envelope.draft.postings.postings() {
            let currency = posting.money().currency;
            match posting.account.owner() {
                Some(Owner::Client(id)) => {
                    self.change_client_balance(id, currency, envelope, |balance| balance.post(posting));
                }
                Some(Owner::Merchant(id)) => {
                    self.change_merchant_balance(id, currency, envelope, |balance| balance.post(posting));
                }
                None => {}
            }
        }
        let event = envelope.event();
        if let Some((merchant, currency)) = settles_for(event) {
            self.change_merchant_balance(merchant, currency, envelope, |balance| balance.note(event));
        }
    }

    /// Counts what the event opened or ended for the client: an authorization, a dispute.
    fn count_open(&mut self, before: usize, envelope: &Envelope) {
        let after = self.open(envelope.stream_id());
        if after == before {
            return;
        }
        let StreamId::Payment(id) = envelope.stream_id() else { return };
        let Some(purse) = self.payment(id).and_then(Payment::purse) else { return };
        self.change_client_balance(purse.client_id, purse.pays_in(), envelope, |balance| {
            let others = (balance.open as usize).saturating_sub(before);
            balance.open = u32::try_from(others.saturating_add(after)).unwrap_or(u32::MAX);
        });
    }

    /// Counts what a payment keeps open; nothing for other streams.
    fn open(&self, stream: StreamId) -> usize {
        match stream {
            StreamId::Payment(id) => self.payment(id).map_or(0, Payment::open),
            _ => 0,
        }
    }

    /// Changes a client's balance. Its row counts an event once, however often that changes it.
    fn change_client_balance(
        &mut self,
        id: ClientId,
        currency: Currency,
        envelope: &Envelope,
        change: impl FnOnce(&mut ClientBalance),
    ) {
        let mut balance = self.client_balance(id, currency);
        change(&mut balance);
        balance.row.touch_once(envelope.position);
        self.put(Key::ClientBalance(id, currency), Record::ClientBalance(balance));
    }

    /// Changes a merchant's balance. Its row counts an event once, however often that changes it.
    fn change_merchant_balance(
        &mut self,
        id: MerchantId,
        currency: Currency,
        envelope: &Envelope,
        change: impl FnOnce(&mut MerchantBalance),
    ) {
        let mut balance = self.merchant_balance(id, currency);
        change(&mut balance);
        balance.row.touch_once(envelope.position);
        self.put(Key::MerchantBalance(id, currency), Record::MerchantBalance(balance));
    }

    fn put(&mut self, key: Key, record: Record) {
        self.touched.insert(key);
        self.records.insert(key, Some(record));
    }

    fn touch(&mut self, key: Key) -> Option<&mut Record> {
        let record = self.records.get_mut(&key)?.as_mut()?;
        self.touched.insert(key);
        Some(record)
    }
}

/// Names the merchant's balance that an event concerns by more than its postings.
const fn settles_for(event: &Event) -> Option<(MerchantId, Currency)> {
    match event {
        Event::PaymentCaptured(capture) => Some((capture.merchant_id, capture.amount.currency)),
        Event::PaymentRefunded(refund) => Some((refund.merchant_id, refund.amount.currency)),
        Event::SettlementClosed(settlement) => Some((settlement.merchant_id, settlement.currency)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use crate::api_key::Role;
    use crate::card::{Card, CardStatus};
    use crate::card_number::Fingerprint;
    use crate::client::Client;
    use crate::command::{Command, Context, PayoutNews};
    use crate::envelope::Envelope;
    use crate::ids::{EventId, StreamId};
    use crate::merchant::Merchant;
    use crate::reconciliation::statement::FileHash;
    use crate::rejection::Rejection;
    use crate::state::{Key, Record, State};
    use crate::testing::*;

    /// The keys that an EUR payment of client 1, card 1 and merchant 1 touches.
    fn payers() -> [Key; 4] {
        [
            Key::Merchant(merchant(1)),
            Key::MerchantBalance(merchant(1), euro()),
            Key::Card(card(1)),
            Key::ClientBalance(client(1), euro()),
        ]
    }

    /// A state that knows of the ledger's records only these.
    fn knowing(ledger: &Ledger, keys: &[Key]) -> State {
        let mut state = State::default();
        for key in keys {
            state.learn(*key, ledger.state.get(key).cloned());
        }
        state
    }

    #[test]
    fn what_is_new_needs_nothing() {
        let state = State::default();
        assert_eq!(state.needs(&open_client(1)), []);
        assert_eq!(state.needs(&open_merchant(1)), []);
        assert_eq!(state.needs(&create_key(1, Role::Operator, None)), []);
    }

    #[test]
    fn a_command_needs_what_it_names() {
        let state = State::default();
        let client_and_balance = [Key::Client(client(1)), Key::ClientBalance(client(1), euro())];
        assert_eq!(state.needs(&deposit(1, eur(1))), client_and_balance);
        assert_eq!(state.needs(&withdraw(1, eur(1))), client_and_balance);
        let number = Key::CardOf(Fingerprint([1; 32]));
        assert_eq!(state.needs(&issue_card(1, 1)), [Key::Client(client(1)), number]);
        assert_eq!(state.needs(&block_card(1)), [Key::Card(card(1))]);
        assert_eq!(state.needs(&unblock_card(1)), [Key::Card(card(1))]);
        assert_eq!(state.needs(&change_settings(1, |_| {})), [Key::Merchant(merchant(1))]);
        let bound = create_key(1, Role::Merchant, Some(merchant(1)));
        assert_eq!(state.needs(&bound), [Key::Merchant(merchant(1))]);
        assert_eq!(state.needs(&Command::RevokeKey(key(1))), [Key::ApiKey(key(1))]);
        for command in of_payment() {
            assert_eq!(state.needs(&command), [Key::Payment(payment(1))], "{command:?}");
        }
        let merchant_balance = Key::MerchantBalance(merchant(1), euro());
        let merchant_and_balance = [Key::Merchant(merchant(1)), merchant_balance];
        assert_eq!(state.needs(&suspend(1)), [Key::Merchant(merchant(1))]);
        assert_eq!(state.needs(&reinstate(1)), [Key::Merchant(merchant(1))]);
        assert_eq!(state.needs(&deposit_to_merchant(1, eur(1))), merchant_and_balance);
        assert_eq!(state.needs(&write_off(1, eur(1))), merchant_and_balance);
        assert_eq!(state.needs(&request_payout(1, eur(1))), merchant_and_balance);
        assert_eq!(state.needs(&close_client(1)), [Key::Client(client(1))]);
        assert_eq!(state.needs(&change_payout(1, PayoutNews::Paid)), [Key::Payout(payout(1))]);
        let yen = jpy(0).currency;
        assert_eq!(state.needs(&set_rate("EUR", "JPY", "160", 1)), [Key::FxRate(euro(), yen)]);
        let file = Key::ReconciliationOf(FileHash::of(b"a file"));
        assert_eq!(state.needs(&reconcile(1, "a file", Vec::new())), [file]);
        let candidates = [(1, euro()), (1, yen)];
        let deposited = Ledger::shop().last("client.deposited");
        let corrected = Key::CorrectionOf(deposited.draft.event_id);
        let what_it_changed = [corrected, client_and_balance[0], client_and_balance[1]];
        assert_eq!(state.needs(&request_correction(1, &deposited)), what_it_changed);
        let approve = approve_correction(1, &deposited, 2);
        assert_eq!(state.needs(&approve), [&[Key::Correction(correction(1))], &what_it_changed[..]].concat());
        let issued = Ledger::shop().last("card.issued");
        assert_eq!(state.needs(&request_correction(1, &issued)), [Key::CorrectionOf(issued.draft.event_id)]);
        let balances = [merchant_balance, Key::MerchantBalance(merchant(1), yen)];
        assert_eq!(state.needs(&settle(1, candidates)), balances);
    }

    /// Every command of payment 1 and of its dispute 1.
    fn of_payment() -> [Command; 12] {
        [
            increment(1, eur(1)),
            capture(1),
            void(1),
            refund(1),
            warn(1),
            expire(1),
            open_dispute(1, 1),
            submit(1, 1, "signed for"),
            win(1, 1),
            lose(1, 1),
            lose_unanswered(1, 1),
            reopen(1, 1),
        ]
    }

    #[test]
    fn a_payout_leads_to_its_merchants_balance() {
        let ledger =
            Ledger::shop().given(deposit_to_merchant(1, jpy(100))).given(request_payout(1, jpy(100)));
        let state = knowing(&ledger, &[Key::Payout(payout(1))]);
        let balance = Key::MerchantBalance(merchant(1), jpy(0).currency);
        assert_eq!(state.needs(&change_payout(1, PayoutNews::Paid)), [balance]);
    }

    #[test]
    fn a_client_leads_to_its_balances() {
        let ledger = Ledger::shop().given(deposit(1, jpy(1)));
        let state = knowing(&ledger, &[Key::Client(client(1))]);
        let balances = [euro(), jpy(0).currency].map(|currency| Key::ClientBalance(client(1), currency));
        assert_eq!(state.needs(&close_client(1)), balances);
    }

    #[test]
    fn other_currencies_are_needed_where_the_payments_own_does_not_cover_it() {
        let ledger = Ledger::shop().given(deposit(1, jpy(100))).given(deposit(1, money(5, "KWD")));
        let [merchant, merchant_balance, card, client_balance] = payers();
        let holder = Key::Client(client(1));
        let state = knowing(&ledger, &[merchant, merchant_balance, card, holder, client_balance]);
        assert_eq!(state.needs(&pay(1, eur(10_000))), []);
        let [yen, dinar] = ["JPY", "KWD"].map(|code| money(0, code).currency);
        let others = [
            Key::ClientBalance(client(1), yen),
            Key::FxRate(yen, euro()),
            Key::ClientBalance(client(1), dinar),
            Key::FxRate(dinar, euro()),
        ];
        assert_eq!(state.needs(&pay(1, eur(10_001))), others);
        // Once it is paid by yen, only the yen matter.
        let ledger = ledger
            .given(set_rate("JPY", "EUR", "1", 1))
            .given(deposit(1, jpy(1)))
            .given(hold(2, eur(10_100)));
        assert_eq!(ledger.amounts(2).purse.pays_in(), yen);
        let state = knowing(&ledger, &[Key::Payment(payment(2))]);
        let yens = Key::ClientBalance(client(1), yen);
        for command in [capture(2), void(2), refund(2)] {
            assert_eq!(state.needs(&command), [merchant, merchant_balance, yens]);
        }
    }

    #[test]
    fn a_card_leads_to_its_holders_balance() {
        let ledger = Ledger::shop();
        let [merchant, merchant_balance, card, client_balance] = payers();
        let mut state = State::default();
        assert_eq!(state.needs(&pay(1, eur(1))), [merchant, merchant_balance, card]);
        state.learn(card, ledger.state.get(&card).cloned());
        let holder = Key::Client(client(1));
        assert_eq!(state.needs(&pay(1, eur(1))), [merchant, merchant_balance, holder, client_balance]);
        let unknown = pay_with(1, eur(1), |pay| pay.details.card.id = None);
        assert_eq!(State::default().needs(&unknown), [merchant, merchant_balance]);
    }

    #[test]
    fn a_payment_leads_to_its_merchant_and_client() {
        let ledger = Ledger::shop().given(hold(1, eur(100)));
        let payment = Key::Payment(payment(1));
        let [merchant, merchant_balance, _, client_balance] = payers();
        for command in of_payment() {
            let found = knowing(&ledger, &[payment]).needs(&command);
            assert_eq!(found, [merchant, merchant_balance, client_balance], "{command:?}");
        }
        // What was declined was paid by nobody.
        let ledger = ledger.given(hold(2, eur(10_000)));
        let declined = Key::Payment(crate::testing::payment(2));
        assert_eq!(knowing(&ledger, &[declined]).needs(&capture(2)), [merchant, merchant_balance]);
    }

    #[test]
    fn what_is_known_absent_is_not_needed_again() {
        let mut state = State::default();
        for key in [Key::Client(client(1)), Key::ClientBalance(client(1), euro())] {
            state.learn(key, None);
        }
        assert_eq!(state.needs(&deposit(1, eur(1))), []);
    }

    #[test]
    fn what_is_needed_is_enough_to_decide() {
        let ledger = Ledger::shop()
            .given(deposit(1, jpy(100_000)))
            .given(set_rate("JPY", "EUR", "0.0062", 1))
            .given(set_rate("KWD", "EUR", "3", 1))
            .given(hold(1, eur(100)))
            .given(pay(3, eur(200)))
            .given(open_dispute_part(1, 3, eur(50)))
            .given(open_client(2))
            .given(deposit_to_merchant(1, eur(500)))
            .given(request_payout(1, eur(20)))
            .given(request_payout(3, eur(10)))
            .given(change_payout(3, PayoutNews::Paid))
            .given(open_dispute_part(4, 3, eur(10)))
            .given(lose(4, 3));
        let (deposited, paid, lost) = (
            ledger.last("client.deposited"),
            ledger.last("payout.paid"),
            ledger.last("payment.dispute_lost"),
        );
        let ledger = ledger
            .given(request_correction(1, &deposited))
            .given(request_correction(2, &paid))
            .given(request_correction(3, &lost));
        let context = Context { now: BEGIN.parse().unwrap(), event_id: EventId::new(uuid(1)) };
        let others = [
            pay(2, eur(100)),
            pay(2, eur(10_001)),
            refund(3),
            deposit(1, eur(1)),
            withdraw(1, eur(9_700)),
            close_client(1),
            close_client(2),
            issue_card_of(2, 1, 1),
            block_card(1),
            change_settings(1, |change| change.settlement_delay_days = Some(9)),
            suspend(1),
            reinstate(1),
            deposit_to_merchant(1, eur(1)),
            write_off(1, eur(1)),
            settle_as_of(1, [(1, euro()), (1, jpy(0).currency)], None),
            request_payout(2, eur(480)),
            change_payout(1, PayoutNews::Paid),
            change_payout(2, PayoutNews::Paid),
            set_rate("EUR", "JPY", "160", 0),
            submit(1, 3, "signed for"),
            win(1, 3),
            lose(1, 3),
            lose_unanswered(1, 3),
            request_correction(4, &deposited),
            approve_correction(1, &deposited, 1),
            approve_correction(1, &deposited, 2),
            approve_correction(2, &paid, 2),
            approve_correction(3, &lost, 2),
        ];
        for command in of_payment().into_iter().chain(others) {
            let mut state = State::default();
            loop {
                let needs = state.needs(&command);
                if needs.is_empty() {
                    break;
                }
                for key in needs {
                    state.learn(key, ledger.state.get(&key).cloned());
                }
            }
            let all = ledger.state.decide(&command, &context);
            assert_eq!(state.decide(&command, &context), all, "{command:?}");
        }
    }

    #[test]
    fn what_does_not_exist_is_not_found() {
        let others = [
            suspend(1),
            reinstate(1),
            deposit_to_merchant(1, eur(1)),
            write_off(1, eur(1)),
            request_payout(1, eur(1)),
            change_payout(1, PayoutNews::Paid),
            close_client(1),
            create_key(1, Role::Merchant, Some(merchant(1))),
            Command::RevokeKey(key(1)),
        ];
        for command in of_payment().into_iter().chain(others) {
            Ledger::new().when(command).then_rejected(Rejection::NotFound);
        }
        // A payment without the dispute that is asked for.
        for command in &of_payment()[7..] {
            Ledger::shop().given(pay(1, eur(1))).when(command.clone()).then_rejected(Rejection::NotFound);
        }
    }

    #[test]
    fn looking_up_touches_nothing_and_events_touch_what_they_change() {
        let ledger = Ledger::new().when(deposit(1, eur(1))).then_rejected(Rejection::NotFound);
        assert!(ledger.state.touched().is_empty());
        let ledger = Ledger::shop().given(pay(1, eur(100)));
        let touched: Vec<_> = ledger.state.touched().iter().copied().collect();
        let [merchant, merchant_balance, card, client_balance] = payers();
        assert_eq!(
            touched,
            [
                Key::Client(client(1)),
                merchant,
                card,
                Key::Payment(payment(1)),
                client_balance,
                merchant_balance
            ]
        );
    }

    #[test]
    fn a_stream_begins_at_version_zero_and_counts_its_events() {
        let streams = |n| {
            [
                StreamId::Client(client(n)),
                StreamId::Merchant(merchant(n)),
                StreamId::Card(card(n)),
                StreamId::Payment(payment(n)),
                StreamId::Key(key(n)),
                StreamId::Settlement(settlement(n)),
                StreamId::Payout(payout(n)),
                StreamId::Correction(correction(n)),
                StreamId::FxPair(euro(), jpy(0).currency),
            ]
        };
        assert_eq!(streams(1).map(|stream| State::default().stream_version(stream)), [0; 9]);
        let ledger = Ledger::shop()
            .given(pay(1, eur(100)))
            .given(change_settings(1, |change| change.settlement_delay_days = Some(0)))
            .given(block_card(1))
            .given(create_key(1, Role::Operator, None))
            .settled(1)
            .given(request_payout(1, eur(10)))
            .given(change_payout(1, PayoutNews::Paid))
            .given(change_payout(1, PayoutNews::Returned))
            .given(deposit_to_merchant(1, eur(1)))
            .corrected(1, "merchant.deposited")
            .given(set_rate("EUR", "JPY", "160", 3))
            .given(set_rate("EUR", "JPY", "161", 3));
        assert_eq!(streams(1).map(|stream| ledger.state.stream_version(stream)), [2, 4, 2, 2, 1, 1, 3, 2, 2]);
    }

    #[test]
    fn an_event_of_an_unknown_object_moves_its_money_and_nothing_else() {
        // As in a state that holds only some records: evolve can't fail (I4).
        let ledger = Ledger::shop().given(hold(1, eur(100))).given(capture(1));
        let mut state = State::default();
        state.evolve(&ledger.appended()[0]);
        assert_eq!(state.payment(payment(1)), None);
        let touched: Vec<_> = state.touched().iter().copied().collect();
        let [_, merchant_balance, _, client_balance] = payers();
        assert_eq!(touched, [client_balance, merchant_balance]);
    }

    #[test]
    fn no_record_passes_for_one_of_another_kind() {
        let ledger = Ledger::shop();
        let mut state = State::default();
        state.learn(Key::Client(client(1)), ledger.state.get(&Key::Card(card(1))).cloned());
        assert_eq!(state.client(client(1)), None);
        assert!(matches!(state.get(&Key::Client(client(1))), Some(Record::Card(_))));
    }

    #[test]
    fn owners_and_cards_survive_their_rows() {
        let wrong = pay_with(1, eur(1), |pay| pay.cvc_matches = false);
        let ledger = Ledger::shop().given(wrong).given(issue_card(2, 1)).given(block_card(2));
        let client = ledger.state.client(client(1)).unwrap();
        let text = serde_json::to_string(client).unwrap();
        assert_eq!(&serde_json::from_str::<Client>(&text).unwrap(), client);
        let merchant = ledger.state.merchant(merchant(1)).unwrap();
        let text = serde_json::to_string(merchant).unwrap();
        assert_eq!(&serde_json::from_str::<Merchant>(&text).unwrap(), merchant);
        for n in [1, 2] {
            let found = ledger.state.card(card(n)).unwrap();
            let text = serde_json::to_string(found).unwrap();
            let mut read: Card = serde_json::from_str(&text).unwrap();
            // The row's own version stands in columns of their own.
            read.row = found.row;
            assert_eq!(&read, found);
        }
        let counted = CardStatus::Active { wrong_attempts: 1 };
        assert_eq!(ledger.state.card(card(1)).unwrap().status, counted);
    }

    #[test]
    fn a_row_counts_the_events_that_changed_it() {
        let wrong = pay_with(9, eur(1), |pay| pay.cvc_matches = false);
        let ledger = Ledger::shop().given(pay(1, eur(100))).given(wrong).given(refund(1));
        let row = |key: Key| {
            let row = ledger.state.get(&key).unwrap().row().unwrap();
            (row.version, row.position)
        };
        let [merchant, merchant_balance, card, client_balance] = payers();
        assert_eq!(row(Key::Client(client(1))), (2, 2));
        assert_eq!(row(merchant), (1, 4));
        assert_eq!(row(card), (2, 7));
        assert_eq!(row(client_balance), (4, 8));
        assert_eq!(row(merchant_balance), (2, 8));
        for key in [Key::Payment(payment(1)), Key::CardOf(Fingerprint([1; 32]))] {
            assert_eq!(ledger.state.get(&key).unwrap().row(), None);
        }
        let ledger = ledger
            .given(create_key(1, Role::Operator, None))
            .given(deposit_to_merchant(1, eur(1)))
            .given(request_payout(1, eur(1)))
            .given(set_rate("EUR", "JPY", "160", 3))
            .given(pay(2, eur(100)))
            .settled(1)
            .given(reconcile(1, "a file", Vec::new()));
        let row = |key: Key| ledger.state.get(&key).unwrap().row();
        assert_eq!(row(Key::ApiKey(key(1))).map(|row| (row.version, row.position)), Some((1, 9)));
        for key in [
            Key::Payout(payout(1)),
            Key::Settlement(settlement(1)),
            Key::FxRate(euro(), jpy(0).currency),
            Key::Reconciliation(reconciliation(1)),
            Key::ReconciliationOf(FileHash::of(b"a file")),
        ] {
            assert_eq!(row(key), None);
        }
    }

    #[test]
    fn the_log_folds_to_the_same_state() {
        let mut log: Vec<Envelope> = Vec::new();
        let commands = vec![
            open_client(1),
            deposit(1, eur(10_000)),
            issue_card(1, 1),
            open_merchant(1),
            hold(1, eur(5_000)),
            capture_part(1, eur(2_000), false),
            refund_part(1, eur(500)),
            void(1),
            pay_with(2, eur(1), |pay| pay.cvc_matches = false),
            pay(3, eur(7_000)),
            refund_part(3, eur(500)),
            set_rate("EUR", "JPY", "160", 1),
            hold(4, jpy(160)),
            increment(4, jpy(1)),
            capture_part(4, jpy(100), false),
            refund_part(4, jpy(1)),
            open_dispute(1, 4),
            submit(1, 4, "signed for"),
            win(1, 4),
            reopen(1, 4),
            lose(1, 4),
            open_dispute(2, 3),
            suspend(1),
            reinstate(1),
            deposit_to_merchant(1, eur(9_000)),
            request_payout(1, eur(10)),
            change_payout(1, PayoutNews::Paid),
            change_payout(1, PayoutNews::Returned),
            request_payout(2, eur(10)),
            change_payout(2, PayoutNews::Failed),
            request_payout(3, eur(10)),
            change_payout(3, PayoutNews::Paid),
            deposit(1, eur(5)),
            withdraw(1, eur(5)),
            deposit_to_merchant(1, eur(5)),
            open_client(2),
            close_client(2),
            reconcile(1, "a file", Vec::new()),
        ];
        let ledger = commands.into_iter().fold(Ledger::new(), |ledger, command| {
            let ledger = ledger.given(command);
            log.extend_from_slice(ledger.appended());
            ledger
        });
        let corrected = [
            "payment.dispute_lost",
            "payout.paid",
            "client.withdrawn",
            "client.deposited",
            "merchant.deposited",
        ];
        let ledger = (1..).zip(corrected).fold(ledger, |ledger, (n, type_name)| {
            let reversed = ledger.last(type_name);
            [request_correction(n, &reversed), approve_correction(n, &reversed, 2)].into_iter().fold(
                ledger,
                |ledger, command| {
                    let ledger = ledger.given(command);
                    log.extend_from_slice(ledger.appended());
                    ledger
                },
            )
        });
        let mut folded = State::default();
        for envelope in &log {
            folded.evolve(envelope);
        }
        assert_eq!(folded.touched(), ledger.state.touched());
        for key in folded.touched() {
            assert_eq!(folded.get(key), ledger.state.get(key), "{key:?}");
        }
    }
}
