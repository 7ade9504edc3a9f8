//! What each step needs, in the order of the contract's refusals, and what comes of it.

use super::step::{News, Step};
use super::values::Account::{Client, House, Merchant};
use super::values::{Account, DAY, Dispute, LIMIT, Payment};
use super::{Model, Outcome, ensure, set};

impl Model {
    /// Takes a step, or refuses it; what was changed until then does not count.
    pub(super) fn decide(&mut self, step: &Step) -> Outcome {
        let (now, bank) = (self.now, House("bank"));
        match *step {
            Step::OpenClient(id) => {
                self.clients.insert(id, true).map_or(Ok("client.opened"), |_| Err("twice"))
            }
            Step::Deposit(id, money) => {
                ensure(*self.clients.get(&id).ok_or("not_found")?, "client_closed")?;
                self.add(bank, Client(id, "available"), money).map(|()| "client.deposited")
            }
            Step::Withdraw(id, money) => {
                ensure(self.clients.contains_key(&id), "not_found")?;
                self.pay(Client(id, "available"), bank, money);
                let left = self.has(Client(id, "available"), money.1);
                ensure(left >= 0, "insufficient_available_balance").map(|()| "client.withdrawn")
            }
            Step::CloseClient(id) => {
                let is_its = |account: &Account| matches!(account, Client(it, _) if *it == id);
                let empty = self.accounts.iter().all(|((account, _), has)| !is_its(account) || *has == 0);
                let open = |(n, p): (&u8, &Payment)| p.client == id && p.capturable() + self.disputed(*n) > 0;
                let waits = self.payments.iter().any(open);
                let outcome = set(self.clients.get_mut(&id), false, "client.closed")?;
                ensure(outcome == "nothing" || (empty && !waits), "client_not_empty").map(|()| outcome)
            }
            Step::IssueCard { client, number } => {
                ensure(*self.clients.get(&client).ok_or("not_found")?, "client_closed")?;
                let was = self.cards.insert(number, (client, Some(0)));
                ensure(was.is_none(), "card_already_registered").map(|()| "card.issued")
            }
            Step::BlockCard(number) => {
                set(self.cards.get_mut(&number).map(|card| &mut card.1), None, "card.blocked")
            }
            Step::UnblockCard(number) => {
                set(self.cards.get_mut(&number).map(|card| &mut card.1), Some(0), "card.unblocked")
            }
            Step::OpenMerchant(id, settings) => {
                self.merchants.insert(id, settings);
                self.suspended.insert(id, false);
                Ok("merchant.opened")
            }
            Step::ChangeSettings(id, settings) => {
                set(self.merchants.get_mut(&id), settings, "merchant.settings_changed")
            }
            Step::Suspend(id) => set(self.suspended.get_mut(&id), true, "merchant.suspended"),
            Step::Reinstate(id) => set(self.suspended.get_mut(&id), false, "merchant.reinstated"),
            Step::DepositToMerchant(id, money) => {
                self.merchant(id)?;
                self.add(bank, Merchant(id, "available"), money).map(|()| "merchant.deposited")
            }
            Step::WriteOff(id, money) => {
                self.merchant(id)?;
                let available = Merchant(id, "available");
                ensure(money.0 <= -self.has(available, money.1), "write_off_exceeds_debt")?;
                self.add(House("losses"), available, money).map(|()| "merchant.balance_written_off")
            }
            Step::CreateKey(id, merchant) => {
                merchant.map_or(Ok(()), |merchant| self.merchant(merchant).map(drop))?;
                self.revoked.insert(id, false).map_or(Ok("api_key.created"), |_| Err("twice"))
            }
            Step::RevokeKey(id) => set(self.revoked.get_mut(&id), true, "api_key.revoked"),
            Step::Pay { id, merchant, number, money, automatic, mistake, days } => {
                ensure(!*self.suspended.get(&merchant).ok_or("not_found")?, "merchant_suspended")?;
                match self.payer(number, money, mistake) {
                    Ok(p) => {
                        let expires_at = now + days * DAY;
                        self.authorize(
                            id,
                            Payment { merchant, authorized: money.0, expires_at, ..p },
                            automatic,
                        )
                    }
                    Err(code) => {
                        let declined =
                            Payment { merchant, currency: money.1, declined: true, ..Payment::default() };
                        self.payments.insert(id, declined);
                        Ok(code)
                    }
                }
            }
            Step::Increment { id, merchant, money } => {
                let p = self.owned(id, merchant, Some(money))?;
                ensure(p.capturable() > 0, "payment_not_incrementable")?;
                ensure(now < p.expires_at, "authorization_expired")?;
                ensure(!self.suspended[&merchant], "merchant_suspended")?;
                ensure(p.authorized + money.0 <= LIMIT, "balance_limit_exceeded")?;
                let available = Client(p.client, "available");
                self.pay(available, Client(p.client, "held"), p.leg(p.authorized, money.0));
                ensure(self.has(available, p.pays_in()) >= 0, "insufficient_funds")?;
                self.payments.insert(id, Payment { authorized: p.authorized + money.0, ..p });
                Ok("payment.authorization_incremented")
            }
            Step::Capture { id, merchant, money, is_final } => {
                let p = self.owned(id, merchant, money)?;
                ensure(p.capturable() > 0, "payment_not_capturable")?;
                ensure(now < p.expires_at, "authorization_expired")?;
                let amount = money.map_or(p.capturable(), |money| money.0);
                ensure(amount <= p.capturable(), "capture_exceeds_authorization")?;
                self.capture(id, p, amount, is_final)
            }
            Step::Void { id, merchant } => {
                let p = self.owned(id, merchant, None)?;
                ensure(p.capturable() > 0, "payment_not_voidable")?;
                ensure(now < p.expires_at, "authorization_expired")?;
                self.release(id, p, false);
                Ok("payment.voided")
            }
            Step::Refund { id, merchant, money } => {
                let p = self.owned(id, merchant, money)?;
                ensure(self.refundable(id) > 0, "payment_not_refundable")?;
                let amount = money.map_or(self.refundable(id), |money| money.0);
                ensure(amount <= self.refundable(id), "refund_exceeds_captured")?;
                self.refund(id, p, amount)
            }
            Step::Warn(id) => match self.payment(id)? {
                p if p.capturable() == 0 || p.warned || now >= p.expires_at => Ok("nothing"),
                p if now < p.expires_at - DAY => Err("too_early"),
                p => {
                    self.payments.insert(id, Payment { warned: true, ..p });
                    Ok("payment.authorization_expiring")
                }
            },
            Step::Expire(id) => match self.payment(id)? {
                p if p.capturable() == 0 => Ok("nothing"),
                p if now < p.expires_at => Err("too_early"),
                p => {
                    self.release(id, p, true);
                    Ok("payment.expired")
                }
            },
            Step::Dispute { id, payment, money } => {
                let p = self.payment(payment)?;
                ensure(money.is_none_or(|money| money.1 == p.currency), "currency_mismatch")?;
                ensure(self.refundable(payment) > 0, "payment_not_disputable")?;
                let amount = money.map_or(self.refundable(payment), |money| money.0);
                ensure(amount <= self.refundable(payment), "dispute_exceeds_refundable")?;
                self.reserve(&p, amount)?;
                self.disputes.insert(id, Dispute::open(payment, amount, now));
                Ok("payment.disputed")
            }
            Step::Evidence { id, payment, merchant } => {
                let (dispute, p) = self.dispute(id, payment)?;
                ensure(p.merchant == merchant, "not_found")?;
                ensure(dispute.is_open() && now < dispute.respond_by, "dispute_closed")?;
                self.disputes.insert(id, Dispute { status: "under_review", ..dispute });
                Ok("payment.dispute_evidence_submitted")
            }
            Step::Win { id, payment } => {
                let (dispute, p) = self.dispute(id, payment)?;
                ensure(dispute.is_open() && !dispute.is_unanswered(now), "dispute_closed")?;
                let [reserved, available] = ["reserved", "available"].map(|name| Merchant(p.merchant, name));
                self.pay(reserved, available, (dispute.amount, p.currency));
                self.disputes.insert(id, Dispute { status: "won", ..dispute });
                Ok("payment.dispute_won")
            }
            Step::Lose { id, payment } => {
                let (dispute, p) = self.dispute(id, payment)?;
                ensure(dispute.is_open(), "dispute_closed")?;
                self.lose(id, dispute, p)
            }
            Step::LoseUnanswered { id, payment } => match self.dispute(id, payment)? {
                (dispute, _) if dispute.status != "needs_response" => Ok("nothing"),
                (dispute, p) if dispute.is_unanswered(now) => self.lose(id, dispute, p),
                _ => Err("too_early"),
            },
            Step::Reopen { id, payment } => {
                let (dispute, p) = self.dispute(id, payment)?;
                ensure(dispute.status == "won" && !dispute.reopened, "dispute_closed")?;
                ensure(self.refundable(payment) > 0, "payment_not_disputable")?;
                ensure(dispute.amount <= self.refundable(payment), "dispute_exceeds_refundable")?;
                self.reserve(&p, dispute.amount)?;
                let again = Dispute::open(payment, dispute.amount, now);
                self.disputes.insert(id, Dispute { reopened: true, ..again });
                Ok("payment.dispute_reopened")
            }
            Step::Settle { merchant, currency, as_of } => {
                ensure(merchant.is_none_or(|id| self.suspended.contains_key(&id)), "not_found")?;
                ensure(as_of.is_none_or(|as_of| as_of <= now), "too_early")?;
                self.settle(merchant, currency, as_of.unwrap_or(now).div_euclid(DAY))
            }
            Step::RequestPayout { id, merchant, money } => {
                ensure(!*self.suspended.get(&merchant).ok_or("not_found")?, "merchant_suspended")?;
                self.pay(Merchant(merchant, "available"), Merchant(merchant, "in_transit"), money);
                let left = self.has(Merchant(merchant, "available"), money.1);
                self.payouts.insert(id, (merchant, money, "requested"));
                ensure(left >= 0, "insufficient_available_balance").map(|()| "payout.requested")
            }
            Step::ChangePayout(id, news) => {
                let (merchant, money, status) = *self.payouts.get(&id).ok_or("not_found")?;
                let [available, in_transit] =
                    ["available", "in_transit"].map(|name| Merchant(merchant, name));
                let (from, to, status, event) = match (status, news) {
                    ("requested", News::Paid) => (in_transit, bank, "paid", "payout.paid"),
                    ("requested", News::Failed) => (in_transit, available, "failed", "payout.failed"),
                    ("paid", News::Returned) => (bank, available, "returned", "payout.returned"),
                    _ => return Err("payout_closed"),
                };
                self.payouts.insert(id, (merchant, money, status));
                self.add(from, to, money).map(|()| event)
            }
            Step::SetRate { from, to, rate, valid_until } => {
                self.rates.insert((from, to), (rate, valid_until));
                ensure(now < valid_until, "fx_rate_expired").map(|()| "fx.rate_set")
            }
        }
    }
}
