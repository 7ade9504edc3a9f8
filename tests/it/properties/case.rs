//! One case: the model's numbers get ids, its steps become requests, and all that it knows is compared.
//!
//! Cases share one service, and its clock, which only goes forward: each begins on a later day, once what
//! earlier ones left is over, with clients and merchants of its own.

use std::cell::Cell;
use std::collections::BTreeMap;

use event_store::clock::Clock;
use event_store::entropy;
use ledger_core::Timestamp;
use ledger_tests::{Answer, TestLedger};
use proptest_state_machine::ReferenceStateMachine;
use serde_json::{Value, json};

use super::model::plan::{BEGIN, all, setup};
use super::model::words::Account::{self, *};
use super::model::words::Part::*;
use super::model::words::{Act, Cash, DAY, Flag, Mistake, Money, News, Settings, Step, Thing, written};
use super::model::{Model, cost};
use super::{DISTANCE, Deed, OverHttp};

/// All that was begun is over after so many days: the longest settlement delay, authorization, term for
/// evidence and validity of a rate, and a day.
const OVER_AFTER: i128 = 61 * DAY;

/// The one service of all cases.
pub(super) struct Service {
    ledger: TestLedger,
    operators: [String; 2],
    cases: Cell<u64>,
    /// From when on nothing is left of the cases until now.
    over: Cell<i128>,
}

impl Service {
    pub(super) async fn start() -> Self {
        let ledger = TestLedger::start().await.unwrap();
        ledger.hold_scheduler().await;
        let another = ledger.post(&ledger.operator, "/v1/api-keys", json!({ "role": "operator" })).await;
        let operators = [ledger.operator.clone(), another.expect(201).text_of("secret")];
        Self { ledger, operators, cases: Cell::new(0), over: Cell::new(0) }
    }

    /// Audits the whole ledger.
    pub(super) async fn finish(self) {
        self.ledger.finish().await;
    }

    /// Moves the clock to a moment, or a little later; never back.
    fn move_clock(&self, to: i128) {
        if to > i128::from(self.ledger.now().micros()) {
            let ahead = to - i128::from(Clock::system().now().micros());
            self.ledger.set_clock_ahead(i64::try_from(ahead.div_euclid(1_000_000) + 1).unwrap());
        }
        self.over.set(to + OVER_AFTER);
    }
}

/// A request that was made.
struct Sent {
    api_key: String,
    key: String,
    path: String,
    body: Value,
    answer: Answer,
}

/// What a number is the number of.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Kind {
    Client,
    Card,
    Merchant,
    Key,
    Payment,
    Dispute,
    Payout,
    Correction,
}

pub(super) struct Case<'a> {
    service: &'a Service,
    number: u64,
    /// From the model's time to the service's, in whole days.
    later: i128,
    ids: BTreeMap<(Kind, u8), String>,
    /// The merchants' API keys, and the cards' CVCs.
    secrets: BTreeMap<(Kind, u8), String>,
    /// The house's balances before.
    house: BTreeMap<(Account, String), i128>,
    sent: Vec<Sent>,
    /// Where the log stood after each step.
    positions: BTreeMap<usize, u64>,
    /// The API keys of two operators.
    operators: [String; 2],
}

impl<'a> Case<'a> {
    /// Begins with what the model has taken so far, which is the setup.
    pub(super) async fn begin(service: &'a Service, model: &Model) -> Self {
        let from = service.over.get().max(service.ledger.now().micros().into());
        let later = ((from - BEGIN).div_euclid(DAY) + 1) * DAY;
        service.move_clock(BEGIN + later);
        service.ledger.let_scheduler_act().await;
        let number = service.cases.replace(service.cases.get() + 1);
        let nothing = BTreeMap::new();
        let mut case = Self {
            service,
            number,
            later,
            ids: BTreeMap::new(),
            secrets: BTreeMap::new(),
            house: nothing,
            sent: Vec::new(),
            positions: BTreeMap::new(),
            operators: service.operators.clone(),
        };
        case.house = case.house_balances().await;
        for (n, step) in setup(model.merchants[&1]).iter().enumerate() {
            let answer = case.ask(step, n + 1).await;
            assert!(answer.status < 300, "{step:?}: {}", answer.text);
        }
        case
    }

    /// Does what the model has done, and compares what comes of it.
    pub(super) async fn take(&mut self, model: &Model, deed: Deed) {
        self.service.move_clock(model.now + self.later);
        match deed {
            Deed::Ask(step) => {
                let answer = self.ask(&step, model.steps).await;
                self.compare_answer(model, &step, &answer);
            }
            Deed::AskAgain(before) => self.ask_again(before).await,
            Deed::Schedule => {
                self.service.ledger.let_scheduler_act().await;
                self.compare_all(model).await;
            }
        }
    }

    /// Compares all there is, now and once all that was begun is over.
    pub(super) async fn end(mut self, mut model: Model) {
        self.compare_all(&model).await;
        model = OverHttp::apply(model, &(OVER_AFTER, Deed::Schedule));
        self.take(&model, Deed::Schedule).await;
        self.service.over.set(0);
    }

    /// Returns an id: of what was made under that number, or of nothing.
    fn id(&self, kind: Kind, number: u8) -> String {
        let of_nothing = || {
            let prefix = match kind {
                Kind::Client => "cli",
                Kind::Card => "card",
                Kind::Merchant => "mer",
                Kind::Key => "key",
                Kind::Payment => "pay",
                Kind::Dispute => "dsp",
                Kind::Payout => "po",
                Kind::Correction => "cor",
            };
            format!("{prefix}_0197000000007000800000000000{number:04x}")
        };
        self.ids.get(&(kind, number)).cloned().unwrap_or_else(of_nothing)
    }

    /// A Visa number that no other case has; or one that is wrong.
    fn card_number(&self, number: u8, is_right: bool) -> String {
        let digits = format!("4{:014}", self.number * 256 + u64::from(number));
        let luhn = digits.bytes().rev().enumerate().map(|(place, digit)| {
            let digit = u32::from(digit - b'0') * if place % 2 == 0 { 2 } else { 1 };
            digit / 10 + digit % 10
        });
        let check = (10 - luhn.sum::<u32>() % 10) % 10;
        format!("{digits}{}", if is_right { check } else { (check + 1) % 10 })
    }

    /// The card as the payer tells of it.
    fn card(&self, number: u8, mistake: Mistake) -> Value {
        let (month, year) = match mistake {
            Mistake::PastExpiry => (10, 2026),
            Mistake::Expiry => (12, EXPIRES.1),
            Mistake::None | Mistake::Number | Mistake::UnknownCard | Mistake::Cvc => EXPIRES,
        };
        let number_told = match mistake {
            Mistake::Number => self.card_number(number, false),
            Mistake::UnknownCard => self.card_number(255, true),
            _ => self.card_number(number, true),
        };
        let cvc = self.secrets.get(&(Kind::Card, number)).map_or("123", String::as_str);
        let last = if cvc.ends_with('0') { '1' } else { '0' };
        let wrong = format!("{}{last}", &cvc[..2]);
        let cvc = if mistake == Mistake::Cvc { &wrong } else { cvc };
        json!({ "number": number_told, "exp_month": month, "exp_year": year, "cvc": cvc })
    }

    /// Sends the nth step's request, and keeps what its answer names.
    async fn ask(&mut self, step: &Step, nth: usize) -> Answer {
        let (api_key, path, mut body) = self.request(step);
        if let Step::RequestCorrection { nth, .. } = *step {
            body["reverses"] = self.event_of(nth).await.into();
        }
        let key = entropy::uuid().to_string();
        let answer = self.service.ledger.post_keyed(&api_key, &key, &path, body.clone()).await;
        if answer.status < 300 {
            self.learn(step, &answer).await;
            self.positions.insert(nth, answer.position());
        }
        self.sent.push(Sent { api_key, key, path, body, answer: answer.clone() });
        answer
    }

    /// Returns a step's API key, path and body.
    fn request(&self, step: &Step) -> (String, String, Value) {
        let by_operator = |path: String, body| (self.service.ledger.operator.clone(), path, body);
        let by =
            |merchant, path: String, body| (self.secrets[&(Kind::Merchant, merchant)].clone(), path, body);
        let client = |id, verb| format!("/v1/clients/{}/{verb}", self.id(Kind::Client, id));
        let card = |number, verb| format!("/v1/cards/{}/{verb}", self.id(Kind::Card, number));
        let merchant = |id, verb| format!("/v1/merchants/{}/{verb}", self.id(Kind::Merchant, id));
        let payment = |id, verb| format!("/v1/payments/{}/{verb}", self.id(Kind::Payment, id));
        let dispute = |id, verb| format!("/v1/disputes/{}/{verb}", self.id(Kind::Dispute, id));
        match *step {
            Step::OpenClient(_) => by_operator("/v1/clients".into(), json!({ "name": "Ada Lovelace" })),
            Step::IssueCard { client: id, number } => {
                let (month, year) = EXPIRES;
                let number = self.card_number(number, true);
                let body = json!({ "number": number, "exp_month": month, "exp_year": year });
                by_operator(client(id, "cards"), body)
            }
            Step::OpenMerchant(_, asked) => {
                let mut body = settings(asked);
                body["name"] = "Größe \u{1f600} \"42\"".into();
                by_operator("/v1/merchants".into(), body)
            }
            Step::ChangeSettings(id, asked) => by_operator(merchant(id, "settings"), settings(asked)),
            Step::CreateKey(_, of) => {
                let of = of.map(|id| self.id(Kind::Merchant, id));
                let role = if of.is_some() { "merchant" } else { "auditor" };
                by_operator("/v1/api-keys".into(), json!({ "role": role, "merchant_id": of }))
            }
            Step::Set(flag, id, to) => match (flag, to) {
                (Flag::Closed, _) => by_operator(client(id, "close"), json!({})),
                (Flag::Blocked, true) => by_operator(card(id, "block"), json!({ "reason": "lost" })),
                (Flag::Blocked, false) => by_operator(card(id, "unblock"), json!({})),
                (Flag::Suspended, true) => by_operator(merchant(id, "suspend"), json!({})),
                (Flag::Suspended, false) => by_operator(merchant(id, "reinstate"), json!({})),
                (Flag::Revoked, _) => {
                    by_operator(format!("/v1/api-keys/{}/revoke", self.id(Kind::Key, id)), json!({}))
                }
            },
            Step::Move(cash, id, asked) => {
                let mut body = amount(asked);
                let path = match cash {
                    Cash::Deposit => client(id, "deposits"),
                    Cash::Withdrawal => client(id, "withdrawals"),
                    Cash::MerchantDeposit => merchant(id, "deposits"),
                    Cash::WriteOff => {
                        body["reason"] = "gone".into();
                        merchant(id, "write-off")
                    }
                };
                by_operator(path, body)
            }
            Step::Pay { merchant, number, money: (asked, currency), automatic, mistake, .. } => {
                let body = json!({
                    "amount": { "amount": asked, "currency": currency },
                    "card": self.card(number, mistake),
                    "capture": if automatic { "automatic" } else { "manual" },
                });
                by(merchant, "/v1/payments".into(), body)
            }
            Step::Act { id, by: asks, mut act } => {
                let mut body = act.asked().map_or(json!({}), |asked| amount(*asked));
                let path = match act {
                    Act::Increment(_) => payment(id, "increment"),
                    Act::Capture(_, is_final) => {
                        body["final"] = is_final.into();
                        payment(id, "capture")
                    }
                    Act::Void => payment(id, "void"),
                    Act::Refund(_) => payment(id, "refunds"),
                    Act::Dispute(..) => {
                        body["reason"] = "never arrived".into();
                        payment(id, "disputes")
                    }
                    Act::Submit(id) => {
                        body["text"] = "signed for".into();
                        dispute(id, "evidence")
                    }
                    Act::Win(id) => dispute(id, "won"),
                    Act::Lose(id) => dispute(id, "lost"),
                    Act::Reopen(id) => dispute(id, "reopen"),
                    Act::Warn | Act::Expire | Act::LoseUnanswered(_) => unreachable!("{act:?} is no request"),
                };
                match asks {
                    Some(merchant) => by(merchant, path, body),
                    None => by_operator(path, body),
                }
            }
            Step::Settle { merchant, currency, as_of } => {
                let mut body = json!({});
                merchant.into_iter().for_each(|id| body["merchant_id"] = self.id(Kind::Merchant, id).into());
                currency.into_iter().for_each(|code| body["currency"] = code.into());
                as_of.into_iter().for_each(|at| body["as_of"] = self.moment(at).into());
                by_operator("/v1/settlements".into(), body)
            }
            Step::RequestPayout { merchant, money, .. } => by(merchant, "/v1/payouts".into(), amount(money)),
            Step::ChangePayout(id, news) => {
                let news = match news {
                    News::Paid => "paid",
                    News::Failed => "failed",
                    News::Returned => "returned",
                };
                by_operator(format!("/v1/payouts/{}/{news}", self.id(Kind::Payout, id)), json!({}))
            }
            Step::SetRate { from, to, rate, valid_until } => {
                let (rate, until) = (written(rate), self.moment(valid_until));
                let body = json!({ "from": from, "to": to, "rate": rate, "valid_until": until });
                by_operator("/v1/fx-rates".into(), body)
            }
            Step::RequestCorrection { day, by, .. } => {
                let date = &self.moment(day * DAY)[..10];
                let body = json!({ "effective_date": date, "reason": "typed twice" });
                (self.operators[usize::from(by)].clone(), "/v1/corrections".into(), body)
            }
            Step::ApproveCorrection { id, by } => {
                let path = format!("/v1/corrections/{}/approve", self.id(Kind::Correction, id));
                (self.operators[usize::from(by)].clone(), path, json!({}))
            }
        }
    }

    /// Finds the id of the event that tells of a step; or one that no event has.
    async fn event_of(&self, nth: usize) -> String {
        let Some(position) = self.positions.get(&nth) else {
            return "evt_01970000000070008000000000000000".to_owned();
        };
        let ledger = &self.service.ledger;
        let path = format!("/v1/events?after={}&limit=1", position - 1);
        let page = ledger.get(&ledger.auditor, &path).await.expect(200);
        page.body["data"][0]["event_id"].as_str().unwrap().to_owned()
    }

    /// Keeps the id of what was made, and its secret.
    async fn learn(&mut self, step: &Step, answer: &Answer) {
        let made = match *step {
            Step::OpenClient(id) => (Kind::Client, id),
            Step::IssueCard { number, .. } => (Kind::Card, number),
            Step::OpenMerchant(id, _) => (Kind::Merchant, id),
            Step::CreateKey(id, _) => (Kind::Key, id),
            Step::Pay { id, .. } => (Kind::Payment, id),
            Step::Act { act: Act::Dispute(id, _), .. } => (Kind::Dispute, id),
            Step::RequestPayout { id, .. } => (Kind::Payout, id),
            Step::RequestCorrection { id, .. } => (Kind::Correction, id),
            _ => return,
        };
        self.ids.insert(made, answer.text_of("id"));
        if made.0 == Kind::Card {
            self.secrets.insert(made, answer.text_of("cvc"));
        }
        if made.0 == Kind::Merchant {
            let body = json!({ "role": "merchant", "merchant_id": answer.text_of("id") });
            let ledger = &self.service.ledger;
            let key = ledger.post(&ledger.operator, "/v1/api-keys", body).await.expect(201);
            self.secrets.insert(made, key.text_of("secret"));
        }
    }

    /// Sends an earlier request again, which is answered as the first time, and another under its key.
    async fn ask_again(&self, before: usize) {
        let kept: Vec<_> =
            self.sent.iter().filter(|sent| matches!(sent.answer.status, 200 | 201 | 409)).collect();
        let Sent { api_key, key, path, body, answer } = kept[kept.len() - 1 - before % kept.len()];
        let ledger = &self.service.ledger;
        let again = ledger.post_keyed(api_key, key, path, body.clone()).await;
        let mut first = answer.body.clone();
        for secret in ["number", "cvc", "secret"] {
            first
                .as_object_mut()
                .and_then(|members| members.get_mut(secret))
                .into_iter()
                .for_each(|it| *it = Value::Null);
        }
        assert_eq!(
            (again.status, again.position()),
            (answer.status, answer.position()),
            "{path}: {}",
            again.text
        );
        assert_eq!((again.header("idempotent-replayed"), &again.body), ("true", &first), "{path}");
        let is_merchants =
            self.secrets.iter().any(|((kind, _), secret)| *kind == Kind::Merchant && secret == api_key);
        let (other, body) = match is_merchants {
            true => {
                ("/v1/payouts", json!({ "amount": { "amount": 7, "currency": "EUR" }, "reference": "other" }))
            }
            false => ("/v1/clients", json!({ "name": "Someone Else" })),
        };
        ledger.post_keyed(api_key, key, other, body).await.expect_code(422, "idempotency_key_reused");
    }

    /// Writes a moment of the model by the service's clock.
    fn moment(&self, at: i128) -> String {
        let micros = i64::try_from(at + self.later).unwrap();
        "1970-01-01T00:00:00Z".parse::<Timestamp>().unwrap().plus_micros(micros).to_string()
    }

    /// Compares an answer's status and code, and what it shows.
    fn compare_answer(&self, model: &Model, step: &Step, answer: &Answer) {
        let told = |body: &Value| body["code"].as_str().unwrap_or_default().to_owned();
        let field = answer.body["errors"][0]["code"].as_str().unwrap_or_default();
        let declined = match step {
            Step::Pay { id, .. } => model.payments.contains_key(id) && model.stands(*id) == "declined",
            _ => false,
        };
        let expected = match model.outcome {
            code if declined => (201, code.to_owned()),
            "nothing" => (200, String::new()),
            event if event.contains('.') => (if makes(step) { 201 } else { 200 }, String::new()),
            "not_found" => (404, "not_found".to_owned()),
            "too_early" | "date_out_of_range" => (422, "out_of_range".to_owned()),
            code @ ("currency_mismatch" | "out_of_range") => (422, code.to_owned()),
            code => (409, code.to_owned()),
        };
        let code = match answer.status {
            422 => field.to_owned(),
            201 => answer.body["decline_code"].as_str().unwrap_or_default().to_owned(),
            _ => told(&answer.body),
        };
        assert_eq!((answer.status, code), expected, "{step:?}: {}", answer.text);
        if answer.status >= 300 {
            return;
        }
        match *step {
            Step::Pay { id, .. }
            | Step::Act { id, act: Act::Increment(_) | Act::Capture(..) | Act::Void, .. } => {
                compare_payment(model, id, &answer.body);
            }
            Step::Act { act: Act::Dispute(id, _), .. } => compare_dispute(model, id, &answer.body),
            Step::Act { act, .. } => {
                act.dispute().into_iter().for_each(|id| compare_dispute(model, id, &answer.body));
            }
            Step::RequestPayout { id, .. } | Step::ChangePayout(id, _) => {
                assert_eq!(answer.body["status"], model.status[&Thing::Payout(id)]);
            }
            Step::Settle { .. } => self.compare_settled(model, &answer.body),
            _ => {}
        }
    }

    /// Compares the settlements of this case's merchants; a request for all closes others too.
    fn compare_settled(&self, model: &Model, body: &Value) {
        let closed = body["data"].as_array().unwrap().iter().filter_map(|settlement| {
            let of = |id: &u8| settlement["merchant_id"] == self.id(Kind::Merchant, *id).as_str();
            let merchant = *model.merchants.keys().find(|id| of(id))?;
            let sums =
                ["gross", "fees", "absorbed", "amount"].map(|name| integer(&settlement[name]["amount"]));
            let [gross, fees, absorbed, amount] = sums;
            let sums = [integer(&settlement["count"]), gross, fees, absorbed, amount];
            Some(((merchant, settlement["currency"].as_str().unwrap().to_owned()), sums))
        });
        let expected = model.settled.iter().map(|(id, code, sums)| ((*id, (*code).to_owned()), *sums));
        assert_eq!(closed.collect::<BTreeMap<_, _>>(), expected.collect());
    }

    /// Compares all that the query API shows with all that the model knows.
    async fn compare_all(&self, model: &Model) {
        self.compare_balances(model).await;
        for (thing, status) in &model.status {
            let (path, kind, id) = match *thing {
                Thing::Client(id) => ("clients", Kind::Client, id),
                Thing::Card(id) => ("cards", Kind::Card, id),
                Thing::Merchant(id) => ("merchants", Kind::Merchant, id),
                Thing::Payment(id) => ("payments", Kind::Payment, id),
                Thing::Dispute(id) => ("disputes", Kind::Dispute, id),
                Thing::Payout(id) => ("payouts", Kind::Payout, id),
                Thing::Correction(id) => ("corrections", Kind::Correction, id),
                Thing::Key(_) | Thing::Warning(_) => continue,
            };
            let shown = self.get(&format!("/v1/{path}/{}", self.id(kind, id))).await;
            match kind {
                Kind::Payment => compare_payment(model, id, &shown),
                Kind::Dispute => compare_dispute(model, id, &shown),
                _ => assert_eq!(shown["status"], *status, "{thing:?}"),
            }
        }
        // What was compared has to be later than all deadlines that the model thinks are past, and no other.
        let stayed = i128::from(self.service.ledger.now().micros()) - self.later - model.now;
        assert!(stayed < DISTANCE, "the clock has gone on by {stayed} µs meanwhile");
    }

    /// Compares every account: those of the case's clients and merchants, and what the case did to the house's.
    async fn compare_balances(&self, model: &Model) {
        let mut shown = self.house_balances().await;
        self.house.iter().for_each(|(account, before)| *shown.entry(account.clone()).or_default() -= before);
        for id in all(model, Thing::Client).into_keys() {
            let accounts = [("available", ClientAvailable(id)), ("held", ClientHeld(id))];
            self.add_balances(&mut shown, &format!("clients/{}", self.id(Kind::Client, id)), &accounts).await;
        }
        for id in model.merchants.keys() {
            let accounts = [
                ("pending", Pending(*id)),
                ("available", Available(*id)),
                ("reserved", Reserved(*id)),
                ("in_transit", InTransit(*id)),
            ];
            self.add_balances(&mut shown, &format!("merchants/{}", self.id(Kind::Merchant, *id)), &accounts)
                .await;
        }
        shown.retain(|_, balance| *balance != 0);
        let told = model.accounts.iter().filter(|(_, balance)| **balance != 0);
        let told = told.map(|((account, currency), balance)| ((*account, (*currency).to_owned()), *balance));
        assert_eq!(shown, told.collect());
    }

    async fn add_balances(
        &self,
        shown: &mut BTreeMap<(Account, String), i128>,
        owner: &str,
        accounts: &[(&str, Account)],
    ) {
        for row in self.get(&format!("/v1/{owner}/balances")).await["data"].as_array().unwrap() {
            for (name, account) in accounts {
                let currency = row["currency"].as_str().unwrap().to_owned();
                shown.insert((*account, currency), integer(&row[name]));
            }
        }
    }

    /// The house's balances, all as credits.
    async fn house_balances(&self) -> BTreeMap<(Account, String), i128> {
        let body = self.get("/v1/house/balances").await;
        let balance = |row: &Value| {
            let account = match row["account"].as_str().unwrap() {
                "house:bank" => Bank,
                "house:fees" => Fees,
                "house:fx" => Fx,
                _ => Losses,
            };
            let raised: i128 = row["balance"].as_str().unwrap().parse().unwrap();
            let credit = if row["normal_side"] == "credit" { raised } else { -raised };
            ((account, row["currency"].as_str().unwrap().to_owned()), credit)
        };
        body["data"].as_array().unwrap().iter().map(balance).collect()
    }

    /// Asks the query API for what is there after all that was done.
    async fn get(&self, path: &str) -> Value {
        self.service.ledger.get(&self.service.ledger.operator, path).await.expect(200).body
    }
}

/// Cards are good for as long as the clock may go.
const EXPIRES: (u32, u32) = (11, 9999);

fn amount((amount, currency): Money) -> Value {
    json!({ "amount": { "amount": amount, "currency": currency } })
}

fn settings(Settings { percent, fixed, delay, keeps_fee, limit }: Settings) -> Value {
    let list = |list: &[Money]| list.iter().map(|money| amount(*money)["amount"].clone()).collect::<Value>();
    json!({
        "fee": { "percent": written((percent, 4)), "fixed": list(fixed) },
        "settlement_delay_days": i64::try_from(delay).unwrap(),
        "refund_fee": if keeps_fee { "kept" } else { "returned" },
        "negative_limit": list(limit),
    })
}

/// Whether a step makes something that is answered with 201.
fn makes(step: &Step) -> bool {
    matches!(
        step,
        Step::OpenClient(_)
            | Step::IssueCard { .. }
            | Step::OpenMerchant(..)
            | Step::CreateKey(..)
            | Step::Pay { .. }
            | Step::Act { act: Act::Refund(_) | Act::Dispute(..), .. }
            | Step::RequestPayout { .. }
            | Step::SetRate { .. }
            | Step::RequestCorrection { .. }
    )
}

#[track_caller]
fn integer(value: &Value) -> i128 {
    value.as_i64().unwrap().into()
}

fn compare_payment(model: &Model, id: u8, shown: &Value) {
    let p = &model.payments[&id];
    let since = |part| p.parts.since(part);
    for (name, amount) in [
        ("authorized", since(Released)),
        ("captured", since(Refundable)),
        ("released", p.parts[Released]),
        ("refunded", p.parts[Refunded]),
        ("disputed", p.parts[Disputed]),
        ("charged_back", p.parts[ChargedBack]),
        ("capturable", p.parts[Capturable]),
        ("refundable", p.parts[Refundable]),
        ("fee", p.net_fee),
    ] {
        assert_eq!(integer(&shown[name]["amount"]), amount, "{name} of {p:?}: {shown}");
        assert_eq!(shown[name]["currency"], p.currency);
    }
    assert_eq!(shown["status"], model.stands(id), "{p:?}: {shown}");
    let (pays, rate, _) = p.funding;
    if pays == p.currency {
        assert_eq!(shown["funding"], Value::Null);
        return;
    }
    let [promised, captured] = [Capturable, Refundable].map(|part| cost(p.funding, since(part)));
    let legs = ["held", "captured", "refunded"].map(|name| integer(&shown["funding"][name]));
    assert_eq!(legs, [promised - captured, captured, p.back[None]], "{p:?}: {shown}");
    assert_eq!(
        (&shown["funding"]["currency"], &shown["funding"]["rate"]),
        (&json!(pays), &json!(written(rate)))
    );
}

fn compare_dispute(model: &Model, id: u8, shown: &Value) {
    let ((_, amount, _, reopened), status) = (model.disputes[&id], model.status[&Thing::Dispute(id)]);
    assert_eq!((&shown["status"], &shown["reopened"]), (&json!(status), &json!(reopened)), "{shown}");
    assert_eq!(integer(&shown["amount"]["amount"]), amount);
}
