//! Lives that nobody wrote: whatever `ledger-core` decides, the audit must find right. So a rule that the two
//! read differently is told here by whichever of them is stricter.

use ledger_core::payment::Payment;

use super::corrections::approve;
use super::*;

/// How many lives are tried, each with its own draws.
const LIVES: u64 = 20;

/// How many things are tried in each.
const TRIES: usize = 400;

#[test]
fn whatever_the_ledger_decides_holds() {
    for seed in 0..LIVES {
        let mut draws = Draws(seed);
        let mut life = Life::default();
        life.open();
        life.issue(2, 2);
        life.second_operator();
        (0..TRIES).for_each(|_| life.try_anything(&mut draws));
        let report = audit_life(&life);
        assert!(report.holds(), "seed {seed}: {report}");
        assert_eq!(wrong_write_side(&life, |_| {}), Vec::<&str>::new(), "seed {seed}");
    }
}

/// Numbers that look drawn, the same at every run.
struct Draws(u64);

impl Draws {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }

    fn n(&mut self, bound: u64) -> u128 {
        u128::from(self.below(bound)) + 1
    }

    fn of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len() as u64) as usize]
    }

    fn money(&mut self) -> Money {
        let amount = match self.below(4) {
            0 => 1 + self.below(9),
            1 => 1 + self.below(100_000),
            _ => 100 * (1 + self.below(50)),
        };
        money(amount as i64, self.of(&["EUR", "JPY", "KWD", "USD"]))
    }
}

impl Life {
    /// Tries something of anybody; it may be refused.
    fn try_anything(&mut self, draws: &mut Draws) {
        let (n, amount) = (draws.n(12), draws.money());
        let payment_of = self.state.payment(payment(n)).cloned();
        let in_its_currency = |amount: Money| {
            Money::new(amount.amount, payment_of.as_ref().map_or(amount.currency, Payment::currency))
        };
        let (payment_id, merchant_id) = (payment(n), merchant(1));
        let part = (draws.below(2) == 0).then(|| in_its_currency(amount));
        let dispute = dispute_of(draws.n(4) + n * 10, n);
        let payout = PayoutId::new(uuid(draws.n(6)));
        match draws.below(28) {
            0..4 => {
                let cash = self.cash(draws.n(2), amount);
                self.attempt(Operator, Command::Deposit(cash));
            }
            4 => {
                let cash = self.cash(draws.n(2), amount);
                self.attempt(Operator, Command::Withdraw(cash));
            }
            5..9 => {
                let id = payment(draws.n(12));
                if self.state.payment(id).is_some() {
                    return;
                }
                let authorize = Authorize {
                    id,
                    details: PaymentDetails {
                        merchant_id,
                        amount,
                        card: PaymentCard {
                            id: Some(card(draws.n(2))),
                            brand: Some(Brand::Visa),
                            last4: "4242".to_owned(),
                            expiry: Expiry::new(11, 2029).unwrap(),
                        },
                        capture: draws.of(&[CaptureMode::Automatic, CaptureMode::Manual]),
                        reference: None,
                        description: None,
                        metadata: None,
                    },
                    number_valid: true,
                    cvc_matches: draws.below(4) > 0,
                    valid_days: 1 + draws.below(9) as u32,
                };
                self.attempt(Merchant, Command::Authorize(Box::new(authorize)));
            }
            9 => {
                let amount = in_its_currency(amount);
                self.attempt(Merchant, Command::Increment(Increment { payment_id, merchant_id, amount }));
            }
            10..12 => {
                let is_final = draws.below(2) == 0;
                let capture = Capture { payment_id, merchant_id, amount: part, is_final };
                self.attempt(Merchant, Command::Capture(capture));
            }
            12 => self.attempt(Merchant, Command::Void(Void { payment_id, merchant_id, reason: None })),
            13..15 => {
                let id = RefundId::new(uuid(self.commands));
                let refund = Refund { id, payment_id, merchant_id, amount: part, reason: None };
                self.attempt(Merchant, Command::Refund(refund));
            }
            15 => {
                self.attempt(System, Command::WarnOfExpiry(payment_id));
                self.attempt(System, Command::Expire(payment_id));
            }
            16..18 => {
                if self.state.payment(payment_id).is_some_and(|of| of.dispute(dispute.id).is_some()) {
                    return;
                }
                let reason = self.seal_for(n, "reason");
                let open = OpenDispute { id: dispute.id, payment_id, amount: part, reason };
                self.attempt(Operator, Command::OpenDispute(open));
            }
            18 => {
                let text = self.seal_for(n, "text");
                self.attempt(
                    Merchant,
                    Command::SubmitEvidence(SubmitEvidence { dispute, merchant_id, text }),
                );
            }
            19 => {
                let command = draws
                    .of(&[Command::WinDispute, Command::LoseDispute, Command::LoseUnanswered]
                        as &[fn(_) -> _]);
                let command = command(dispute);
                let who = if matches!(command, Command::LoseUnanswered(_)) { System } else { Operator };
                self.attempt(who, command);
            }
            20 => self.attempt(Operator, Command::ReopenDispute(ReopenDispute { dispute, reason: None })),
            21 => {
                let candidates = ["EUR", "JPY", "KWD", "USD"].map(|code| (merchant(1), currency(code)));
                let id = SettlementId::new(uuid(self.commands * 0x10));
                let settle = Settle { id, merchant: None, candidates: candidates.into(), as_of: None };
                self.attempt(System, Command::Settle(settle));
            }
            22 => {
                if self.state.payout(payout).is_none() {
                    let request = RequestPayout { id: payout, merchant_id, amount, reference: None };
                    self.attempt(Merchant, Command::RequestPayout(request));
                }
                let news = draws.of(&[PayoutNews::Paid, PayoutNews::Failed, PayoutNews::Returned]);
                self.attempt(
                    Operator,
                    Command::ChangePayout(ChangePayout { id: payout, news, reason: None }),
                );
            }
            23 => {
                let (from, to) = (draws.money().currency, amount.currency);
                if from != to {
                    let rate = draws.of(&["1.0937", "0.0066", "160", "3.25", "0.3", "1"]).parse().unwrap();
                    let valid_until = self.now().plus_days(1 + draws.below(5) as u32);
                    self.attempt(Operator, Command::SetFxRate(SetFxRate { from, to, rate, valid_until }));
                }
            }
            24 => self.try_the_rest(draws, amount),
            25..27 => self.try_a_correction(draws),
            _ => self.micros += draws.of(&[1, DAY / 2, DAY, DAY, 3 * DAY, 14 * DAY]),
        }
    }

    fn try_the_rest(&mut self, draws: &mut Draws, amount: Money) {
        let (id, reason) = (merchant(1), None);
        match draws.below(9) {
            0 => self.attempt(Operator, Command::SuspendMerchant(ChangeMerchant { id, reason })),
            1..3 => self.attempt(Operator, Command::ReinstateMerchant(ChangeMerchant { id, reason })),
            3 => {
                let deposit = DepositToMerchant { id, amount, reference: None };
                self.attempt(Operator, Command::DepositToMerchant(deposit));
            }
            4 => {
                let reason = self.seal(StreamId::Merchant(id), "reason");
                self.attempt(Operator, Command::WriteOff(WriteOff { id, amount, reason }));
            }
            5 => {
                let change = ChangeSettings {
                    id,
                    fee: None,
                    settlement_delay_days: Some(draws.below(4) as u32),
                    refund_fee: Some(draws.of(&[RefundFee::Kept, RefundFee::Returned])),
                    negative_limit: Some(vec![money(1 + draws.below(5_000) as i64, "EUR")]),
                };
                self.attempt(Operator, Command::ChangeSettings(change));
            }
            6 => self.attempt(Operator, Command::UnblockCard(ChangeCard { id: card(draws.n(2)), reason })),
            7 => self.try_to_reconcile(|bound| draws.below(bound)),
            _ => self.attempt(Operator, Command::CloseClient(CloseClient { id: client(2), reason })),
        }
    }

    /// Tries to correct one of the last events that may be, by way of a correction that may be there already.
    fn try_a_correction(&mut self, draws: &mut Draws) {
        let may_be = |event: &&Value| {
            [
                "client.deposited",
                "client.withdrawn",
                "merchant.deposited",
                "payment.dispute_lost",
                "payout.paid",
            ]
            .iter()
            .any(|kind| event["type"] == *kind)
        };
        let of = self.events.iter().rev().filter(may_be).nth(draws.below(6) as usize).cloned();
        let Some(of) = of else { return };
        let id =
            CorrectionId::new(uuid(0x100 + u128::from(of["position"].as_u64().unwrap()) * 4 + draws.n(2)));
        match self.state.correction(id) {
            Some(_) => {
                let (who, by) = draws.of(&[(Operator, 1), (Second, 4)]);
                self.attempt(who, approve(id, &of, by));
            }
            None => {
                let request = self.request(id, &of, self.now().day());
                self.attempt(Operator, request);
            }
        }
    }

    /// Seals a field for the client of a payment.
    fn seal_for(&self, n: u128, field: &str) -> Sealed {
        let client_id = self.state.payment(payment(n)).and_then(Payment::client_id).unwrap_or(client(1));
        self.seal(StreamId::Client(client_id), field)
    }
}
