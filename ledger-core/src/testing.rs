//! A ledger in memory, for the tests beside the aggregates.
//!
//! [`Ledger`] looks up, decides, numbers and folds as the executor does, and checks after each command
//! what must hold after any. Commands are made by short functions; objects are numbered: `client(1)`.

use std::collections::BTreeMap;

use uuid::Uuid;

use crate::api_key::Role;
use crate::balance::Unsettled;
use crate::card_number::{Brand, Expiry, Fingerprint};
use crate::command::{
    ApproveCorrection, Authorize, Capture, ChangeCard, ChangeMerchant, ChangePayout, ChangeSettings,
    CloseClient, Command, Context, CreateKey, DepositToMerchant, DisputeOf, Increment, IssueCard, MoveCash,
    OpenClient, OpenDispute, OpenMerchant, PayoutNews, Refund, ReopenDispute, RequestCorrection,
    RequestPayout, RunReconciliation, SetFxRate, Settle, SubmitEvidence, Void, WriteOff,
};
use crate::envelope::{Draft, Envelope};
use crate::event::{
    CaptureMode, Event, PaymentCaptured, PaymentCard, PaymentDetails, PaymentRefunded, Settings,
};
use crate::fee::{FeeSchedule, RefundFee};
use crate::ids::{
    CardId, ClientId, CorrectionId, DisputeId, EventId, KeyId, MerchantId, PaymentId, PayoutId,
    ReconciliationId, RefundId, SettlementId, StreamId,
};
use crate::journal::{Account, Owner, Side};
use crate::money::{BALANCE_MAX, Currency, Money};
use crate::payment::{AUTHORIZATION_DAYS, Amounts, DisputeStatus, Outcome, Payment, Status};
use crate::payout::PayoutStatus;
use crate::personal::Sealed;
use crate::reconciliation::item::Item;
use crate::reconciliation::statement::{FileHash, StatementFormat};
use crate::rejection::{Conflict, Rejection};
use crate::state::{Key, Record, State};
use crate::time::Timestamp;

/// When every test begins.
pub(crate) const BEGIN: &str = "2026-11-24T08:00:00.000000Z";

/// 24 hours, in microseconds.
pub(crate) const DAY: i64 = 86_400_000_000;

/// The ledger of one test. Each step takes it and gives it back: `given`, `when`, `then`.
pub(crate) struct Ledger {
    pub(crate) state: State,
    now: Timestamp,
    event_ids: u128,
    position: u64,
    accounts: BTreeMap<(Account, Currency), i128>,
    pub(crate) log: Vec<Envelope>,
    /// Who asks for what is decided.
    actor: KeyId,
    outcome: Result<Vec<Envelope>, Rejection>,
}

impl Ledger {
    /// Begins with an empty log.
    pub(crate) fn new() -> Self {
        Self {
            state: State::default(),
            now: BEGIN.parse().unwrap(),
            event_ids: 0,
            position: 0,
            accounts: BTreeMap::new(),
            log: Vec::new(),
            actor: key(1),
            outcome: Ok(Vec::new()),
        }
    }

    /// Begins with a client that has 100.00 EUR and a card, and a merchant that pays 1.40 % + 0.25 EUR.
    pub(crate) fn shop() -> Self {
        Self::new()
            .given(open_client(1))
            .given(deposit(1, eur(10_000)))
            .given(issue_card(1, 1))
            .given(open_merchant(1))
    }

    /// Carries out a command that must succeed.
    pub(crate) fn given(self, command: Command) -> Self {
        let ledger = self.when(command);
        assert!(ledger.outcome.is_ok(), "given: {:?}", ledger.outcome);
        ledger
    }

    /// Decides a command and appends what comes out.
    pub(crate) fn when(mut self, command: Command) -> Self {
        self.look_up(&command);
        let context = Context { now: self.now, event_id: self.event_id() };
        self.actor = if let Command::ApproveCorrection(approve) = &command { approve.by } else { key(1) };
        let drafts = self.state.decide(&command, &context);
        assert_eq!(self.state.decide(&command, &context), drafts, "decided twice (I4)");
        self.outcome = drafts.map(|drafts| drafts.into_iter().map(|draft| self.append(draft)).collect());
        // A card's event does not hold its fingerprint, so the executor learns it from the command.
        if let (Command::IssueCard(issue), Ok(_)) = (&command, &self.outcome) {
            self.state.learn(Key::CardOf(issue.fingerprint), Some(Record::CardOf(issue.id)));
        }
        self.check();
        self
    }

    /// Lets hours, days or microseconds pass.
    pub(crate) fn later(mut self, micros: i64) -> Self {
        self.now = self.now.plus_micros(micros);
        self
    }

    /// Lets days pass.
    pub(crate) fn days_later(mut self, days: u32) -> Self {
        self.now = self.now.plus_days(days);
        self
    }

    /// Lets time pass up to a moment.
    pub(crate) fn until(mut self, moment: &str) -> Self {
        self.now = moment.parse().unwrap();
        self
    }

    /// Lets what merchant `n` has pending in EUR become available, two days later.
    pub(crate) fn settled(self, n: u8) -> Self {
        self.days_later(2).given(settle(1, [(n, euro())]))
    }

    /// The last command made exactly these events.
    pub(crate) fn then(self, events: impl IntoIterator<Item = Event>) -> Self {
        let found: Vec<_> = self.appended().iter().map(|envelope| envelope.event().clone()).collect();
        assert_eq!(found, events.into_iter().collect::<Vec<_>>());
        self
    }

    /// The last command made events of these types.
    pub(crate) fn then_types<const N: usize>(self, types: [&str; N]) -> Self {
        let found: Vec<_> = self.appended().iter().map(|envelope| envelope.event().type_name()).collect();
        assert_eq!(found, types);
        self
    }

    /// The last command found everything as it wished.
    pub(crate) fn then_nothing(self) -> Self {
        self.then_types([])
    }

    /// The last command was rejected.
    pub(crate) fn then_rejected(self, why: impl Into<Rejection>) -> Self {
        assert_eq!(self.outcome, Err(why.into()));
        self
    }

    /// A client has so much available and so much held, in EUR.
    pub(crate) fn then_client(self, n: u8, available: i64, held: i64) -> Self {
        let balance = self.state.client_balance(client(n), euro());
        assert_eq!((balance.available, balance.held), (available, held), "client's available, held");
        self
    }

    /// A merchant has so much pending and so much available, in EUR.
    pub(crate) fn then_merchant(self, n: u8, pending: i64, available: i64) -> Self {
        let balance = self.state.merchant_balance(merchant(n), euro());
        assert_eq!(
            (balance.pending, balance.available),
            (pending, available),
            "merchant's pending, available"
        );
        self
    }

    /// An account has so much.
    pub(crate) fn then_account(self, account: Account, money: Money) -> Self {
        let found = self.accounts.get(&(account, money.currency)).copied().unwrap_or_default();
        assert_eq!(found, i128::from(money.amount), "{account} {}", money.currency);
        self
    }

    /// A merchant has so much available and so much reserved for disputes, in EUR.
    pub(crate) fn then_reserved(self, n: u8, available: i64, reserved: i64) -> Self {
        let balance = self.state.merchant_balance(merchant(n), euro());
        assert_eq!(
            (balance.available, balance.reserved),
            (available, reserved),
            "merchant's available, reserved"
        );
        self
    }

    /// A merchant has so much available and so much on its way to the bank, in EUR.
    pub(crate) fn then_in_transit(self, n: u8, available: i64, in_transit: i64) -> Self {
        let balance = self.state.merchant_balance(merchant(n), euro());
        assert_eq!(
            (balance.available, balance.in_transit),
            (available, in_transit),
            "merchant's available, in transit"
        );
        self
    }

    /// The house has earned so much, in EUR.
    pub(crate) fn then_fees(self, amount: i128) -> Self {
        assert_eq!(self.account(Account::HouseFees), amount, "fees");
        self
    }

    /// A payment stands there.
    pub(crate) fn then_status(self, n: u8, status: Status) -> Self {
        assert_eq!(self.state.payment(payment(n)).unwrap().status(), status);
        self
    }

    /// A payment is a client's.
    pub(crate) fn then_payer(self, n: u8, client: ClientId) -> Self {
        assert_eq!(self.state.payment(payment(n)).unwrap().client_id(), Some(client));
        self
    }

    /// Returns an account's balance in EUR.
    pub(crate) fn account(&self, account: Account) -> i128 {
        self.account_in(account, euro())
    }

    /// Returns an account's balance in a currency.
    pub(crate) fn account_in(&self, account: Account, currency: Currency) -> i128 {
        self.accounts.get(&(account, currency)).copied().unwrap_or_default()
    }

    /// Returns what became of the last command.
    pub(crate) const fn outcome(&self) -> &Result<Vec<Envelope>, Rejection> {
        &self.outcome
    }

    /// Returns the events of the last command in their places.
    pub(crate) fn appended(&self) -> &[Envelope] {
        self.outcome.as_ref().unwrap()
    }

    /// Returns the last event of a type.
    pub(crate) fn last(&self, type_name: &str) -> Envelope {
        let found = self.log.iter().rfind(|envelope| envelope.event().type_name() == type_name);
        found.unwrap().clone()
    }

    /// Corrects the last event of a type by correction `n`, which key 1 asks for and key 2 approves.
    pub(crate) fn corrected(self, n: u8, type_name: &str) -> Self {
        let reversed = self.last(type_name);
        self.given(request_correction(n, &reversed)).given(approve_correction(n, &reversed, 2))
    }

    /// Returns the last command's capture.
    pub(crate) fn captured(&self) -> &PaymentCaptured {
        let mut captures = self.appended().iter().filter_map(|envelope| match envelope.event() {
            Event::PaymentCaptured(captured) => Some(captured),
            _ => None,
        });
        captures.next_back().unwrap()
    }

    /// Returns the last command's refund.
    pub(crate) fn refunded(&self) -> &PaymentRefunded {
        let mut refunds = self.appended().iter().filter_map(|envelope| match envelope.event() {
            Event::PaymentRefunded(refunded) => Some(refunded),
            _ => None,
        });
        refunds.next_back().unwrap()
    }

    /// Finds nothing for whatever the command needs and nobody knows yet.
    fn look_up(&mut self, command: &Command) {
        for _ in 0..4 {
            for key in self.state.needs(command) {
                self.state.learn(key, None);
            }
        }
        assert_eq!(self.state.needs(command), []);
    }

    /// Draws the id of a command's first event, far from the next command's.
    fn event_id(&mut self) -> EventId {
        self.event_ids += 1;
        EventId::new(uuid(self.event_ids << 16))
    }

    fn append(&mut self, draft: Draft) -> Envelope {
        self.position += 1;
        let version = self.state.stream_version(draft.stream_id) + 1;
        let envelope = Envelope {
            position: self.position,
            version,
            recorded_at: self.now,
            actor: self.actor.to_string(),
            request_id: Some("test".to_owned()),
            draft,
        };
        self.state.evolve(&envelope);
        assert_eq!(self.state.stream_version(envelope.stream_id()), version, "version (I2)");
        for posting in envelope.draft.postings.postings() {
            let account = (posting.account, posting.money().currency);
            *self.accounts.entry(account).or_default() += i128::from(posting.effect());
        }
        self.log.push(envelope.clone());
        envelope
    }

    /// Returns the totals of a payment.
    pub(crate) fn amounts(&self, n: u8) -> &Amounts {
        match &self.state.payment(payment(n)).unwrap().outcome {
            Outcome::Approved(amounts) => amounts,
            Outcome::Declined { .. } => panic!("declined"),
        }
    }

    /// Checks what holds after any command: the books balance (I3), no account is below its floor or
    /// past its limit, and the state's balances are the sums of the postings.
    fn check(&self) {
        let mut sums = BTreeMap::<Currency, i128>::new();
        for (&(account, currency), &balance) in &self.accounts {
            let signed = if account.normal_side() == Side::Debit { -balance } else { balance };
            *sums.entry(currency).or_default() += signed;
            let client = |id| self.state.client_balance(id, currency);
            let merchant = |id| self.state.merchant_balance(id, currency);
            let kept = match account {
                Account::ClientAvailable(id) => client(id).available,
                Account::ClientHeld(id) => client(id).held,
                Account::MerchantPending(id) => merchant(id).pending,
                Account::MerchantAvailable(id) => merchant(id).available,
                Account::MerchantReserved(id) => merchant(id).reserved,
                Account::MerchantInTransit(id) => merchant(id).in_transit,
                Account::HouseFees | Account::HouseBank | Account::HouseFx | Account::HouseLosses => continue,
            };
            assert_eq!(i128::from(kept), balance, "{account} {currency}");
            assert!(balance <= i128::from(BALANCE_MAX), "{account} {currency} passes the limit");
            let floor =
                if matches!(account, Account::MerchantAvailable(_)) { -i128::from(BALANCE_MAX) } else { 0 };
            assert!(balance >= floor, "{account} {currency} is below its floor");
            if let Some(Owner::Merchant(id)) = account.owner() {
                let balance = self.state.merchant_balance(id, currency);
                let net: i64 = balance.unsettled.values().map(Unsettled::net).sum();
                assert_eq!(balance.pending, net - balance.drawn, "pending = Σ net − drawn");
                assert!(balance.drawn >= 0, "drawn {}", balance.drawn);
            }
        }
        assert!(sums.values().all(|sum| *sum == 0), "Σ of all accounts (I3): {sums:?}");
        self.check_what_payments_say();
    }

    /// Checks that what is held, reserved, in transit and open is what payments and payouts say.
    fn check_what_payments_say(&self) {
        let (mut clients, mut reserved) = (BTreeMap::new(), BTreeMap::new());
        let (mut in_transit, mut rows) = (BTreeMap::new(), Vec::new());
        for key in self.state.touched() {
            match self.state.get(key) {
                Some(Record::Payment(payment)) => {
                    let Outcome::Approved(amounts) = &payment.outcome else { continue };
                    let given_back = amounts.given_back() + amounts.disputed();
                    assert!(amounts.captured + amounts.released <= amounts.authorized);
                    assert!(given_back <= amounts.captured);
                    let purse = amounts.purse;
                    let (held, open) = clients.entry((purse.client_id, purse.pays_in())).or_insert((0, 0));
                    *held += purse.leg(amounts.captured, amounts.capturable()).amount;
                    *open += open_of(payment);
                    *reserved.entry((payment.details.merchant_id, payment.currency())).or_insert(0) +=
                        amounts.disputed();
                }
                Some(Record::Payout(payout)) if payout.status == PayoutStatus::Requested => {
                    let of = &payout.requested;
                    *in_transit.entry((of.merchant_id, of.amount.currency)).or_insert(0) += of.amount.amount;
                }
                Some(_) => rows.push(key),
                None => panic!("touched and gone: {key:?}"),
            }
        }
        for key in rows {
            match *key {
                Key::ClientBalance(id, currency) => {
                    let balance = self.state.client_balance(id, currency);
                    let (held, open) = clients.remove(&(id, currency)).unwrap_or_default();
                    assert_eq!((balance.held, balance.open), (held, open), "held, open of {id} {currency}");
                }
                Key::MerchantBalance(id, currency) => {
                    let balance = self.state.merchant_balance(id, currency);
                    let reserved = reserved.remove(&(id, currency)).unwrap_or_default();
                    let in_transit = in_transit.remove(&(id, currency)).unwrap_or_default();
                    assert_eq!((balance.reserved, balance.in_transit), (reserved, in_transit), "{id}");
                }
                _ => {}
            }
        }
        assert!(clients.is_empty() && in_transit.is_empty());
        assert!(reserved.values().all(|reserved| *reserved == 0));
    }
}

/// Counts what keeps a client from being closed, told again: open disputes and an open authorization.
fn open_of(payment: &Payment) -> u32 {
    let Outcome::Approved(amounts) = &payment.outcome else { return 0 };
    let is_open = |status| matches!(status, DisputeStatus::NeedsResponse | DisputeStatus::UnderReview);
    let disputes = amounts.disputes.iter().filter(|dispute| is_open(dispute.status)).count();
    let held = amounts.authorized - amounts.captured - amounts.released > 0;
    u32::try_from(disputes).unwrap() + u32::from(held)
}

/// The id of an object, in the form of a UUIDv7.
pub(crate) fn uuid(n: u128) -> Uuid {
    Uuid::from_u128(0x0197_0000_0000_7000_8000_0000_0000_0000 | n)
}

macro_rules! numbered {
    ($($name:ident -> $id:ident;)+) => {$(
        pub(crate) fn $name(n: u8) -> $id {
            $id::new(uuid(n.into()))
        }
    )+};
}

numbered! {
    client -> ClientId;
    merchant -> MerchantId;
    card -> CardId;
    payment -> PaymentId;
    refund_id -> RefundId;
    dispute -> DisputeId;
    settlement -> SettlementId;
    payout -> PayoutId;
    correction -> CorrectionId;
    reconciliation -> ReconciliationId;
    key -> KeyId;
}

pub(crate) fn euro() -> Currency {
    "EUR".parse().unwrap()
}

pub(crate) fn eur(amount: i64) -> Money {
    Money::new(amount, euro())
}

pub(crate) fn jpy(amount: i64) -> Money {
    money(amount, "JPY")
}

pub(crate) fn money(amount: i64, currency: &str) -> Money {
    Money::new(amount, currency.parse().unwrap())
}

/// Stands for a sealed field: the domain never looks inside.
pub(crate) fn sealed(text: &str) -> Sealed {
    Sealed { subject: StreamId::Client(client(1)), boxed: text.to_owned() }
}

pub(crate) fn expiry() -> Expiry {
    Expiry::new(11, 2029).unwrap()
}

pub(crate) fn open_client(n: u8) -> Command {
    Command::OpenClient(OpenClient { id: client(n), name: sealed("name"), email: None, metadata: None })
}

pub(crate) fn deposit(n: u8, amount: Money) -> Command {
    Command::Deposit(MoveCash { client_id: client(n), amount, reference: None })
}

pub(crate) fn withdraw(n: u8, amount: Money) -> Command {
    Command::Withdraw(MoveCash { client_id: client(n), amount, reference: None })
}

/// Issues card `n`, whose number is known by `[n; 32]`, to a client.
pub(crate) fn issue_card(n: u8, client_n: u8) -> Command {
    issue_card_of(n, client_n, n)
}

/// Issues card `n` with the number that is known by `[number; 32]` to a client.
pub(crate) fn issue_card_of(n: u8, client_n: u8, number: u8) -> Command {
    Command::IssueCard(IssueCard {
        id: card(n),
        client_id: client(client_n),
        fingerprint: Fingerprint([number; 32]),
        brand: Brand::Visa,
        last4: "4242".to_owned(),
        expiry: expiry(),
        registered: true,
        fingerprint_key: 1,
        cvc_key: 1,
    })
}

pub(crate) fn block_card(n: u8) -> Command {
    Command::BlockCard(ChangeCard { id: card(n), reason: None })
}

pub(crate) fn unblock_card(n: u8) -> Command {
    Command::UnblockCard(ChangeCard { id: card(n), reason: None })
}

/// 1.40 % + 0.25 EUR, settled after two days, given back on refunds, no credit.
pub(crate) fn settings() -> Settings {
    Settings {
        fee: fee("1.40", &[eur(25)]),
        fee_version: 1,
        settlement_delay_days: 2,
        refund_fee: RefundFee::Returned,
        negative_limit: Vec::new(),
    }
}

pub(crate) fn fee(percent: &str, fixed: &[Money]) -> FeeSchedule {
    FeeSchedule { percent: percent.parse().unwrap(), fixed: fixed.to_vec() }
}

pub(crate) fn open_merchant(n: u8) -> Command {
    open_merchant_with(n, settings())
}

pub(crate) fn open_merchant_with(n: u8, settings: Settings) -> Command {
    Command::OpenMerchant(OpenMerchant {
        id: merchant(n),
        name: "Corner shop".to_owned(),
        metadata: None,
        settings,
    })
}

/// Changes the settings of a merchant that `edit` sets.
pub(crate) fn change_settings(n: u8, edit: impl FnOnce(&mut ChangeSettings)) -> Command {
    let mut change = ChangeSettings {
        id: merchant(n),
        fee: None,
        settlement_delay_days: None,
        refund_fee: None,
        negative_limit: None,
    };
    edit(&mut change);
    Command::ChangeSettings(change)
}

pub(crate) fn create_key(n: u8, role: Role, merchant_id: Option<MerchantId>) -> Command {
    Command::CreateKey(CreateKey { id: key(n), role, merchant_id, secret_hash: [n; 32] })
}

/// Pays merchant 1 with card 1, captured at once.
pub(crate) fn pay(n: u8, amount: Money) -> Command {
    pay_with(n, amount, |_| {})
}

/// Pays merchant 1 with card 1, held until it is captured.
pub(crate) fn hold(n: u8, amount: Money) -> Command {
    pay_with(n, amount, |pay| pay.details.capture = CaptureMode::Manual)
}

/// Pays as `edit` wishes.
pub(crate) fn pay_with(n: u8, amount: Money, edit: impl FnOnce(&mut Authorize)) -> Command {
    let mut authorize = Authorize {
        id: payment(n),
        details: PaymentDetails {
            merchant_id: merchant(1),
            amount,
            card: PaymentCard {
                id: Some(card(1)),
                brand: Some(Brand::Visa),
                last4: "4242".to_owned(),
                expiry: expiry(),
            },
            capture: CaptureMode::Automatic,
            reference: None,
            description: None,
            metadata: None,
        },
        number_valid: true,
        cvc_matches: true,
        valid_days: AUTHORIZATION_DAYS,
    };
    edit(&mut authorize);
    Command::Authorize(Box::new(authorize))
}

/// Captures all that is left of a payment.
pub(crate) fn capture(n: u8) -> Command {
    capture_with(n, |_| {})
}

/// Captures a part of a payment, as its last capture or not.
pub(crate) fn capture_part(n: u8, amount: Money, is_final: bool) -> Command {
    capture_with(n, |capture| {
        capture.amount = Some(amount);
        capture.is_final = is_final;
    })
}

/// Captures as `edit` wishes.
pub(crate) fn capture_with(n: u8, edit: impl FnOnce(&mut Capture)) -> Command {
    let mut capture =
        Capture { payment_id: payment(n), merchant_id: merchant(1), amount: None, is_final: true };
    edit(&mut capture);
    Command::Capture(capture)
}

pub(crate) fn void(n: u8) -> Command {
    Command::Void(Void { payment_id: payment(n), merchant_id: merchant(1), reason: None })
}

/// Refunds all that is left of a payment.
pub(crate) fn refund(n: u8) -> Command {
    refund_with(n, |_| {})
}

/// Refunds a part of a payment.
pub(crate) fn refund_part(n: u8, amount: Money) -> Command {
    refund_with(n, |refund| refund.amount = Some(amount))
}

/// Refunds as `edit` wishes.
pub(crate) fn refund_with(n: u8, edit: impl FnOnce(&mut Refund)) -> Command {
    let mut refund = Refund {
        id: refund_id(n),
        payment_id: payment(n),
        merchant_id: merchant(1),
        amount: None,
        reason: None,
    };
    edit(&mut refund);
    Command::Refund(refund)
}

pub(crate) fn close_client(n: u8) -> Command {
    Command::CloseClient(CloseClient { id: client(n), reason: None })
}

pub(crate) fn suspend(n: u8) -> Command {
    Command::SuspendMerchant(ChangeMerchant { id: merchant(n), reason: None })
}

pub(crate) fn reinstate(n: u8) -> Command {
    Command::ReinstateMerchant(ChangeMerchant { id: merchant(n), reason: None })
}

pub(crate) fn deposit_to_merchant(n: u8, amount: Money) -> Command {
    Command::DepositToMerchant(DepositToMerchant { id: merchant(n), amount, reference: None })
}

pub(crate) fn write_off(n: u8, amount: Money) -> Command {
    Command::WriteOff(WriteOff { id: merchant(n), amount, reason: sealed("gone") })
}

/// Holds more for a payment of merchant 1.
pub(crate) fn increment(n: u8, amount: Money) -> Command {
    Command::Increment(Increment { payment_id: payment(n), merchant_id: merchant(1), amount })
}

pub(crate) fn warn(n: u8) -> Command {
    Command::WarnOfExpiry(payment(n))
}

pub(crate) fn expire(n: u8) -> Command {
    Command::Expire(payment(n))
}

/// Opens dispute `n` of payment `of` over all that is refundable.
pub(crate) fn open_dispute(n: u8, of: u8) -> Command {
    Command::OpenDispute(OpenDispute {
        id: dispute(n),
        payment_id: payment(of),
        amount: None,
        reason: sealed("never came"),
    })
}

/// Opens dispute `n` of payment `of` over a part.
pub(crate) fn open_dispute_part(n: u8, of: u8, amount: Money) -> Command {
    Command::OpenDispute(OpenDispute {
        id: dispute(n),
        payment_id: payment(of),
        amount: Some(amount),
        reason: sealed("never came"),
    })
}

/// Dispute `n` of payment `of`.
pub(crate) fn dispute_of(n: u8, of: u8) -> DisputeOf {
    DisputeOf { id: dispute(n), payment_id: payment(of) }
}

pub(crate) fn submit(n: u8, of: u8, text: &str) -> Command {
    let (dispute, text) = (dispute_of(n, of), sealed(text));
    Command::SubmitEvidence(SubmitEvidence { dispute, merchant_id: merchant(1), text })
}

pub(crate) fn win(n: u8, of: u8) -> Command {
    Command::WinDispute(dispute_of(n, of))
}

pub(crate) fn lose(n: u8, of: u8) -> Command {
    Command::LoseDispute(dispute_of(n, of))
}

pub(crate) fn lose_unanswered(n: u8, of: u8) -> Command {
    Command::LoseUnanswered(dispute_of(n, of))
}

pub(crate) fn reopen(n: u8, of: u8) -> Command {
    Command::ReopenDispute(ReopenDispute { dispute: dispute_of(n, of), reason: None })
}

/// Settles merchants and currencies up to now; the settlements are numbered from `n` on.
pub(crate) fn settle<const N: usize>(n: u8, candidates: [(u8, Currency); N]) -> Command {
    settle_as_of(n, candidates, None)
}

/// Settles merchants and currencies as of a moment.
pub(crate) fn settle_as_of<const N: usize>(
    n: u8,
    candidates: [(u8, Currency); N],
    as_of: Option<&str>,
) -> Command {
    let candidates = candidates.map(|(n, currency)| (merchant(n), currency)).into();
    Command::Settle(Settle {
        id: settlement(n),
        merchant: None,
        candidates,
        as_of: as_of.map(|at| at.parse().unwrap()),
    })
}

/// Asks for payout `n` of merchant 1.
pub(crate) fn request_payout(n: u8, amount: Money) -> Command {
    let (id, merchant_id) = (payout(n), merchant(1));
    Command::RequestPayout(RequestPayout { id, merchant_id, amount, reference: None })
}

pub(crate) fn change_payout(n: u8, news: PayoutNews) -> Command {
    Command::ChangePayout(ChangePayout { id: payout(n), news, reason: None })
}

/// Asks for correction `n` of an event, for its own day.
pub(crate) fn request_correction(n: u8, reversed: &Envelope) -> Command {
    let (id, effective_date) = (correction(n), reversed.recorded_at.day());
    let (reversed, reason) = (Box::new(reversed.clone()), sealed("typed twice"));
    Command::RequestCorrection(RequestCorrection { id, reversed, effective_date, reason })
}

/// Approves correction `n`, of an event, with a key.
pub(crate) fn approve_correction(n: u8, reversed: &Envelope, by: u8) -> Command {
    let (id, reversed) = (correction(n), Box::new(reversed.clone()));
    Command::ApproveCorrection(ApproveCorrection { id, reversed, by: key(by) })
}

/// Sets the rate of two currencies, valid for so many days from the test's beginning.
pub(crate) fn set_rate(from: &str, to: &str, rate: &str, days: u32) -> Command {
    Command::SetFxRate(SetFxRate {
        from: from.parse().unwrap(),
        to: to.parse().unwrap(),
        rate: rate.parse().unwrap(),
        valid_until: BEGIN.parse::<Timestamp>().unwrap().plus_days(days),
    })
}

/// Records how a file of November 2026, in EUR, compares with the ledger.
pub(crate) fn reconcile(n: u8, file: &str, items: Vec<Item>) -> Command {
    Command::RunReconciliation(RunReconciliation {
        id: reconciliation(n),
        format: StatementFormat::Csv,
        file_hash: FileHash::of(file.as_bytes()),
        from: "2026-11-01".parse().unwrap(),
        to: "2026-11-30".parse().unwrap(),
        currencies: [euro()].into(),
        through_position: 0,
        items,
    })
}

/// The rejection of a balance that would pass the limit, in EUR.
pub(crate) fn past_the_limit() -> Conflict {
    Conflict::BalanceLimitExceeded { limit: eur(BALANCE_MAX) }
}

/// The rejection of what a balance does not cover, in EUR.
pub(crate) fn not_covered(available: i64, requested: i64) -> Conflict {
    Conflict::InsufficientAvailableBalance { available: eur(available), requested: eur(requested) }
}
