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
use crate::envelope::{Draft, Envelope};
use crate::event::{DeclineCode, Event};
use crate::ids::{CardId, ClientId, KeyId, MerchantId, PaymentId, StreamId};
use crate::journal::Owner;
use crate::merchant::{self, Merchant};
use crate::money::Currency;
use crate::payment::{self, Payer, Payment};
use crate::rejection::Rejection;
use crate::stamp::Stamp;

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
            Self::CardOf(_) | Self::Payment(_) => None,
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
            Command::IssueCard(issue) => {
                keys.extend([Key::Client(issue.client_id), Key::CardOf(issue.fingerprint)]);
            }
            Command::BlockCard(change) | Command::UnblockCard(change) => keys.push(Key::Card(change.id)),
            Command::ChangeSettings(change) => keys.push(Key::Merchant(change.id)),
            Command::CreateKey(create) => keys.extend(create.merchant_id.map(Key::Merchant)),
            Command::RevokeKey(id) => keys.push(Key::ApiKey(*id)),
            Command::Authorize(authorize) => self.authorize_needs(authorize, &mut keys),
            Command::Capture(capture) => self.payment_needs(capture.payment_id, &mut keys),
            Command::Void(void) => self.payment_needs(void.payment_id, &mut keys),
            Command::Refund(refund) => self.payment_needs(refund.payment_id, &mut keys),
        }
        keys.retain(|key| !self.records.contains_key(key));
        keys
    }

    fn authorize_needs(&self, authorize: &Authorize, keys: &mut Vec<Key>) {
        let currency = authorize.details.amount.currency;
        let merchant_id = authorize.details.merchant_id;
        keys.extend([Key::Merchant(merchant_id), Key::MerchantBalance(merchant_id, currency)]);
        if let Some(id) = authorize.details.card.id {
            keys.push(Key::Card(id));
            keys.extend(self.card(id).map(|card| Key::ClientBalance(card.issued.client_id, currency)));
        }
    }

    fn payment_needs(&self, id: PaymentId, keys: &mut Vec<Key>) {
        keys.push(Key::Payment(id));
        if let Some(payment) = self.payment(id) {
            let (merchant_id, currency) = (payment.details.merchant_id, payment.currency());
            keys.extend([Key::Merchant(merchant_id), Key::MerchantBalance(merchant_id, currency)]);
            keys.extend(payment.client_id().map(|client| Key::ClientBalance(client, currency)));
        }
    }

    /// Decides a command: the events that carry it out (none if it is so already), or why not.
    ///
    /// Total: never panics, whatever the state and the command. What [`Self::needs`] names must be known.
    pub fn decide(&self, command: &Command, context: &Context) -> Result<Vec<Draft>, Rejection> {
        match command {
            Command::OpenClient(open) => Ok(client::open(open, context)),
            Command::Deposit(cash) => {
                self.client(cash.client_id).ok_or(Rejection::NotFound)?;
                client::deposit(cash, &self.client_balance(cash.client_id, cash.amount.currency), context)
            }
            Command::Withdraw(cash) => {
                self.client(cash.client_id).ok_or(Rejection::NotFound)?;
                client::withdraw(cash, &self.client_balance(cash.client_id, cash.amount.currency), context)
            }
            Command::IssueCard(issue) => {
                self.client(issue.client_id).ok_or(Rejection::NotFound)?;
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
            Command::CreateKey(create) => match create.merchant_id {
                Some(id) if self.merchant(id).is_none() => Err(Rejection::NotFound),
                Some(_) | None => Ok(api_key::create(create, context)),
            },
            Command::RevokeKey(id) => {
                self.api_key(*id).map(|key| api_key::revoke(key, context)).ok_or(Rejection::NotFound)
            }
            Command::Authorize(authorize) => {
                let details = &authorize.details;
                let currency = details.amount.currency;
                let merchant = self.merchant(details.merchant_id).ok_or(Rejection::NotFound)?;
                let merchant_balance = self.merchant_balance(merchant.id, currency);
                let card = details.card.id.and_then(|id| self.card(id));
                let balance = card.map(|card| self.client_balance(card.issued.client_id, currency));
                let payer = card.zip(balance.as_ref()).map(|(card, balance)| Payer { card, balance });
                payment::authorize(authorize, payer, merchant, &merchant_balance, context)
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
                let client_id = payment.client_id();
                let client_balance =
                    client_id.map(|id| self.client_balance(id, payment.currency())).unwrap_or_default();
                payment::refund(refund, payment, merchant, &merchant_balance, &client_balance, context)
            }
        }
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
        };
        stamp.map_or(0, |stamp| stamp.version)
    }

    /// Folds an event in: its stream's record, then the balances that its postings move.
    pub fn evolve(&mut self, envelope: &Envelope) {
        self.evolve_stream(envelope);
        self.post(envelope);
    }

    fn evolve_stream(&mut self, envelope: &Envelope) {
        match (envelope.stream_id(), envelope.event()) {
            (StreamId::Client(id), Event::ClientOpened(opened)) => {
                self.put(Key::Client(id), Record::Client(Client::open(id, opened, envelope)));
            }
            (StreamId::Client(id), _) => {
                if let Some(Record::Client(client)) = self.touch(Key::Client(id)) {
                    client.stamp.advance(envelope);
                }
            }
            (StreamId::Merchant(id), Event::MerchantOpened(opened)) => {
                self.put(Key::Merchant(id), Record::Merchant(Merchant::open(id, opened, envelope)));
            }
            (StreamId::Merchant(id), event) => {
                if let Some(Record::Merchant(merchant)) = self.touch(Key::Merchant(id))
                    && let Event::MerchantSettingsChanged(settings) = event
                {
                    merchant.change_settings(settings, envelope);
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

    /// Moves the balances; each owner's row counts the event once.
    fn post(&mut self, envelope: &Envelope) {
        let mut counted = BTreeSet::new();
        for posting in envelope.draft.postings.postings() {
            let currency = posting.money().currency;
            match posting.account.owner() {
                Some(Owner::Client(id)) => {
                    let key = Key::ClientBalance(id, currency);
                    let mut balance = self.client_balance(id, currency);
                    balance.post(posting);
                    if counted.insert(key) {
                        balance.row.touch(envelope.position);
                    }
                    self.put(key, Record::ClientBalance(balance));
                }
                Some(Owner::Merchant(id)) => {
                    let key = Key::MerchantBalance(id, currency);
                    let mut balance = self.merchant_balance(id, currency);
                    balance.post(posting);
                    if counted.insert(key) {
                        balance.row.touch(envelope.position);
                        balance.note(envelope.event());
                    }
                    self.put(key, Record::MerchantBalance(balance));
                }
                None => {}
            }
        }
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

#[cfg(test)]
mod tests {
    use crate::api_key::Role;
    use crate::card::{Card, CardStatus};
    use crate::card_number::Fingerprint;
    use crate::client::Client;
    use crate::command::{Command, Context};
    use crate::envelope::Envelope;
    use crate::ids::{EventId, StreamId};
    use crate::merchant::Merchant;
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
        for command in [capture(1), void(1), refund(1)] {
            assert_eq!(state.needs(&command), [Key::Payment(payment(1))]);
        }
    }

    #[test]
    fn a_card_leads_to_its_holders_balance() {
        let ledger = Ledger::shop();
        let [merchant, merchant_balance, card, client_balance] = payers();
        let mut state = State::default();
        assert_eq!(state.needs(&pay(1, eur(1))), [merchant, merchant_balance, card]);
        state.learn(card, ledger.state.get(&card).cloned());
        assert_eq!(state.needs(&pay(1, eur(1))), [merchant, merchant_balance, client_balance]);
        let unknown = pay_with(1, eur(1), |pay| pay.details.card.id = None);
        assert_eq!(State::default().needs(&unknown), [merchant, merchant_balance]);
    }

    #[test]
    fn a_payment_leads_to_its_merchant_and_client() {
        let ledger = Ledger::shop().given(hold(1, eur(100)));
        let payment = Key::Payment(payment(1));
        let [merchant, merchant_balance, _, client_balance] = payers();
        for command in [capture(1), void(1), refund(1)] {
            let found = knowing(&ledger, &[payment]).needs(&command);
            assert_eq!(found, [merchant, merchant_balance, client_balance]);
        }
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
        let ledger = Ledger::shop().given(hold(1, eur(100)));
        let context = Context { now: BEGIN.parse().unwrap(), event_ids: [EventId::new(uuid(1)); 2] };
        for command in [
            pay(2, eur(100)),
            pay(2, eur(10_001)),
            capture(1),
            void(1),
            refund(1),
            deposit(1, eur(1)),
            withdraw(1, eur(10_000)),
            issue_card_of(2, 1, 1),
            block_card(1),
            change_settings(1, |change| change.settlement_delay_days = Some(9)),
        ] {
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
            ]
        };
        assert_eq!(streams(1).map(|stream| State::default().stream_version(stream)), [0; 5]);
        let ledger = Ledger::shop()
            .given(pay(1, eur(100)))
            .given(change_settings(1, |change| change.settlement_delay_days = Some(0)))
            .given(block_card(1))
            .given(create_key(1, Role::Operator, None));
        assert_eq!(streams(1).map(|stream| ledger.state.stream_version(stream)), [2, 2, 2, 2, 1]);
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
    }

    #[test]
    fn the_log_folds_to_the_same_state() {
        let mut log: Vec<Envelope> = Vec::new();
        let commands = [
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
            refund(3),
        ];
        let ledger = commands.into_iter().fold(Ledger::new(), |ledger, command| {
            let ledger = ledger.given(command);
            log.extend_from_slice(ledger.appended());
            ledger
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
