//! Clients, merchants and cards for tests.

use serde_json::{Value, json};

use crate::answer::Answer;
use crate::ledger::TestLedger;

/// A merchant with its API key.
#[derive(Clone, Debug)]
pub struct Merchant {
    /// Its id.
    pub id: String,
    /// Its API key.
    pub key: String,
}

/// A client with a card.
#[derive(Clone, Debug)]
pub struct Client {
    /// Its id.
    pub id: String,
    /// The card's id.
    pub card_id: String,
    /// The card as a payment names it.
    pub card: Value,
}

impl TestLedger {
    /// Opens a merchant with the fee of 1.40 % + 0.25 EUR, and more settings if given.
    pub async fn merchant(&self, more: Value) -> Merchant {
        let mut body = json!({
            "name": "Corner Shop",
            "fee": { "percent": "1.40", "fixed": [{ "amount": 25, "currency": "EUR" }] },
        });
        for (name, value) in more.as_object().into_iter().flatten() {
            body[name] = value.clone();
        }
        let merchant = self.post(&self.operator, "/v1/merchants", body).await.expect(201);
        let id = merchant.text_of("id");
        let body = json!({ "role": "merchant", "merchant_id": id });
        let key = self.post(&self.operator, "/v1/api-keys", body).await.expect(201);
        Merchant { id, key: key.text_of("secret") }
    }

    /// Opens a client with money and a card.
    pub async fn client(&self, amount: i64, currency: &str) -> Client {
        let client =
            self.post(&self.operator, "/v1/clients", json!({ "name": "Ada Lovelace" })).await.expect(201);
        let id = client.text_of("id");
        if amount > 0 {
            self.deposit(&id, amount, currency).await.expect(200);
        }
        let card = self.post(&self.operator, &format!("/v1/clients/{id}/cards"), json!({})).await.expect(201);
        let known =
            ["number", "exp_month", "exp_year", "cvc"].map(|name| (name.to_owned(), card.body[name].clone()));
        Client { id, card_id: card.text_of("id"), card: Value::Object(known.into_iter().collect()) }
    }

    /// Brings money to a client.
    pub async fn deposit(&self, client: &str, amount: i64, currency: &str) -> Answer {
        let body = json!({ "amount": { "amount": amount, "currency": currency } });
        self.post(&self.operator, &format!("/v1/clients/{client}/deposits"), body).await
    }

    /// Makes a payment, captured at once or held.
    pub async fn pay(&self, merchant: &Merchant, client: &Client, amount: i64, capture: &str) -> Answer {
        let body = json!({
            "amount": { "amount": amount, "currency": "EUR" },
            "card": client.card,
            "capture": capture,
        });
        self.post(&merchant.key, "/v1/payments", body).await
    }

    /// Does something to a payment as its merchant.
    pub async fn act(&self, merchant: &Merchant, payment: &str, verb: &str, body: Value) -> Answer {
        self.post(&merchant.key, &format!("/v1/payments/{payment}/{verb}"), body).await
    }
}
