//! What can happen in a life, and what does in the one that every test begins with.

use super::*;

impl Life {
    pub(super) fn pay(&mut self, n: u128, amount: Money, edit: impl FnOnce(&mut Authorize)) {
        let mut authorize = Authorize {
            id: payment(n),
            details: PaymentDetails {
                merchant_id: merchant(1),
                amount,
                card: PaymentCard {
                    id: Some(card(1)),
                    brand: Some(Brand::Visa),
                    last4: "4242".to_owned(),
                    expiry: Expiry::new(11, 2029).unwrap(),
                },
                capture: CaptureMode::Automatic,
                reference: Some(format!("order {n}")),
                description: Some(self.seal_for_client("description")),
                metadata: None,
            },
            number_valid: true,
            cvc_matches: true,
            valid_days: 7,
        };
        edit(&mut authorize);
        let captures = authorize.details.capture == CaptureMode::Automatic && authorize.cvc_matches;
        self.run(Merchant, 1 + usize::from(captures), Command::Authorize(Box::new(authorize)));
    }

    pub(super) fn hold(&mut self, n: u128, amount: Money) {
        self.pay(n, amount, |pay| pay.details.capture = CaptureMode::Manual);
    }

    pub(super) fn capture(&mut self, n: u128, amount: Money, is_final: bool) {
        let (payment_id, merchant_id) = (payment(n), merchant(1));
        let capture = Capture { payment_id, merchant_id, amount: Some(amount), is_final };
        self.run(Merchant, 1, Command::Capture(capture));
    }

    pub(super) fn refund(&mut self, id: u128, n: u128, amount: Money) {
        let reason = Some(self.seal_for_client("reason"));
        let (payment_id, merchant_id) = (payment(n), merchant(1));
        let refund =
            Refund { id: RefundId::new(uuid(id)), payment_id, merchant_id, amount: Some(amount), reason };
        self.run(Merchant, 1, Command::Refund(refund));
    }

    pub(super) fn dispute(&mut self, id: u128, n: u128, amount: Money) {
        let reason = self.seal_for_client("reason");
        let (id, payment_id) = (DisputeId::new(uuid(id)), payment(n));
        let open = OpenDispute { id, payment_id, amount: Some(amount), reason };
        self.run(Operator, 1, Command::OpenDispute(open));
    }

    pub(super) fn evidence(&mut self, id: u128, n: u128) {
        let text = self.seal_for_client("text");
        let submit = SubmitEvidence { dispute: dispute_of(id, n), merchant_id: merchant(1), text };
        self.run(Merchant, 1, Command::SubmitEvidence(submit));
    }

    pub(super) fn reopen(&mut self, id: u128, n: u128) {
        let reason = Some(self.seal_for_client("reason"));
        let reopen = ReopenDispute { dispute: dispute_of(id, n), reason };
        self.run(Operator, 1, Command::ReopenDispute(reopen));
    }

    pub(super) fn settle(&mut self, who: Who, id: u128, count: usize) {
        let candidates: BTreeSet<_> =
            ["EUR", "JPY", "USD"].into_iter().map(|code| (merchant(1), currency(code))).collect();
        let settle = Settle { id: SettlementId::new(uuid(id)), merchant: None, candidates, as_of: None };
        self.run(who, count, Command::Settle(settle));
    }

    pub(super) fn payout(&mut self, id: u128, amount: Money) {
        let (id, merchant_id) = (PayoutId::new(uuid(id)), merchant(1));
        let reference = Some("week 48".to_owned());
        let request = RequestPayout { id, merchant_id, amount, reference };
        self.run(Merchant, 1, Command::RequestPayout(request));
    }

    pub(super) fn news(&mut self, id: u128, news: PayoutNews) {
        let id = PayoutId::new(uuid(id));
        let reason = Some(self.seal(StreamId::Payout(id), "reason"));
        self.run(Operator, 1, Command::ChangePayout(ChangePayout { id, news, reason }));
    }

    pub(super) fn cash(&self, n: u128, amount: Money) -> MoveCash {
        let reference = Some(self.seal(StreamId::Client(client(n)), "reference"));
        MoveCash { client_id: client(n), amount, reference }
    }

    pub(super) fn deposit(&mut self, n: u128, amount: Money) {
        let cash = self.cash(n, amount);
        self.run(Operator, 1, Command::Deposit(cash));
    }

    pub(super) fn withdraw(&mut self, n: u128, amount: Money) {
        let cash = self.cash(n, amount);
        self.run(Operator, 1, Command::Withdraw(cash));
    }

    pub(super) fn set_rate(&mut self, from: &str, to: &str, rate: &str, days: u32) {
        let (from, to) = (currency(from), currency(to));
        let valid_until = self.now().plus_days(days);
        let set = SetFxRate { from, to, rate: rate.parse().unwrap(), valid_until };
        self.run(Operator, 1, Command::SetFxRate(set));
    }

    pub(super) fn issue(&mut self, n: u8, holder: u128) {
        let issue = IssueCard {
            id: card(n.into()),
            client_id: client(holder),
            fingerprint: Fingerprint([n; 32]),
            brand: Brand::Visa,
            last4: "4242".to_owned(),
            expiry: Expiry::new(11, 2029).unwrap(),
            registered: true,
            fingerprint_key: 1,
            cvc_key: 1,
        };
        self.run(Operator, 1, Command::IssueCard(issue));
    }

    pub(super) fn open(&mut self) {
        let create = |n, role, merchant_id| {
            Command::CreateKey(CreateKey { id: key(n), role, merchant_id, secret_hash: [0; 32] })
        };
        self.run(System, 1, create(1, Role::Operator, None));
        for n in [1, 2] {
            let name = self.seal(StreamId::Client(client(n)), "name");
            let open = OpenClient { id: client(n), name, email: None, metadata: None };
            self.run(Operator, 1, Command::OpenClient(open));
        }
        let fixed = vec![money(25, "EUR"), money(30, "USD")];
        let settings = Settings {
            fee: FeeSchedule { percent: "1.40".parse().unwrap(), fixed },
            fee_version: 1,
            settlement_delay_days: 2,
            refund_fee: RefundFee::Returned,
            negative_limit: vec![money(5_000, "EUR")],
        };
        let name = "Corner shop".to_owned();
        let open = OpenMerchant { id: merchant(1), name, metadata: None, settings };
        self.run(Operator, 1, Command::OpenMerchant(open));
        self.run(Operator, 1, create(2, Role::Merchant, Some(merchant(1))));
        self.run(Operator, 1, create(3, Role::Auditor, None));
        self.run(System, 1, Command::RevokeKey(key(3)));
        self.issue(1, 1);
        self.deposit(1, money(50_000, "EUR"));
        self.deposit(1, money(100_000, "JPY"));
        // Cheap, but nothing of it is there.
        self.set_rate("CHF", "USD", "1.2500", 30);
        self.set_rate("EUR", "USD", "1.0850", 1);
        self.set_rate("EUR", "USD", "1.0937", 30);
        self.set_rate("JPY", "USD", "0.0066", 30);
    }

    pub(super) fn first_day(&mut self) {
        self.pay(1, money(10_000, "EUR"), |_| {});
        self.hold(2, money(5_000, "USD"));
        let increment =
            Increment { payment_id: payment(2), merchant_id: merchant(1), amount: money(1_001, "USD") };
        self.run(Merchant, 1, Command::Increment(increment));
        self.capture(2, money(2_003, "USD"), false);
        self.capture(2, money(1_507, "USD"), true);
        self.refund(1, 2, money(777, "USD"));
        self.hold(3, money(2_000, "EUR"));
        self.hold(4, money(700, "EUR"));
        let reason = Some(self.seal_for_client("reason"));
        self.run(
            Merchant,
            1,
            Command::Void(Void { payment_id: payment(4), merchant_id: merchant(1), reason }),
        );
        self.dispute(1, 1, money(3_000, "EUR"));
        self.evidence(1, 1);
        self.run(Operator, 1, Command::WinDispute(dispute_of(1, 1)));
        self.reopen(1, 1);
        self.run(Operator, 1, Command::LoseDispute(dispute_of(1, 1)));
        self.dispute(2, 2, money(1_000, "USD"));
        let reason = self.seal(StreamId::Merchant(merchant(1)), "reason");
        let write_off = WriteOff { id: merchant(1), amount: money(500, "EUR"), reason };
        self.run(Operator, 1, Command::WriteOff(write_off));
        let reference = Some(self.seal(StreamId::Merchant(merchant(1)), "reference"));
        let deposit = DepositToMerchant { id: merchant(1), amount: money(400, "EUR"), reference };
        self.run(Operator, 1, Command::DepositToMerchant(deposit));
        for n in 10..14 {
            self.pay(n, money(100, "EUR"), |pay| pay.cvc_matches = false);
        }
        let change = |reason| Command::UnblockCard(ChangeCard { id: card(1), reason });
        let reason = Some(self.seal_for_client("reason"));
        self.run(Operator, 1, change(reason));
        let reason = Some(self.seal_for_client("reason"));
        self.run(Operator, 1, Command::BlockCard(ChangeCard { id: card(1), reason }));
        self.run(Operator, 1, change(None));
    }

    pub(super) fn later_days(&mut self) {
        self.days_later(2);
        self.settle(System, 0x100, 2);
        self.payout(1, money(2_000, "EUR"));
        self.news(1, PayoutNews::Paid);
        self.news(1, PayoutNews::Returned);
        self.payout(2, money(1_000, "EUR"));
        self.news(2, PayoutNews::Failed);
        self.payout(3, money(3_000, "EUR"));
        self.news(3, PayoutNews::Paid);
        // From available, below zero.
        self.refund(2, 1, money(6_500, "EUR"));
        let change = |reason| ChangeMerchant { id: merchant(1), reason };
        let reason = Some(self.seal(StreamId::Merchant(merchant(1)), "reason"));
        self.run(Operator, 1, Command::SuspendMerchant(change(reason)));
        self.run(Operator, 1, Command::ReinstateMerchant(change(None)));
        let settings = ChangeSettings {
            id: merchant(1),
            fee: None,
            settlement_delay_days: Some(0),
            refund_fee: Some(RefundFee::Kept),
            negative_limit: None,
        };
        self.run(Operator, 1, Command::ChangeSettings(settings));
        self.pay(5, money(1_234, "USD"), |pay| pay.valid_days = 30);
        self.refund(3, 5, money(1_000, "USD"));
        self.days_later(4);
        self.run(System, 1, Command::WarnOfExpiry(payment(3)));
        self.days_later(1);
        self.run(System, 1, Command::Expire(payment(3)));
        self.days_later(7);
        self.run(System, 1, Command::LoseUnanswered(dispute_of(2, 2)));
        self.settle(Operator, 0x200, 1);
        self.deposit(2, money(100, "EUR"));
        self.withdraw(2, money(100, "EUR"));
        let reason = Some(self.seal(StreamId::Client(client(2)), "reason"));
        self.run(Operator, 1, Command::CloseClient(CloseClient { id: client(2), reason }));
        self.reconcile();
    }
}
