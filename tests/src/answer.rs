//! An answer as a test looks at it.

use serde_json::Value;

/// A status, the headers that count, and the body.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The headers.
    pub headers: reqwest::header::HeaderMap,
    /// The body, byte for byte.
    pub text: String,
    /// The body as JSON; null if it is none.
    pub body: Value,
}

impl Answer {
    /// Reads an answer to its end.
    pub async fn read(response: reqwest::Response) -> anyhow::Result<Self> {
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let text = response.text().await?;
        let body = serde_json::from_str(&text).unwrap_or_default();
        Ok(Self { status, headers, text, body })
    }

    /// Returns a header's text, or nothing.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// Returns the position of the `Ledger-Position` header; 0 without it.
    pub fn position(&self) -> u64 {
        self.header("ledger-position").parse().unwrap_or(0)
    }

    /// Returns the problem's code; empty for what is none.
    pub fn code(&self) -> &str {
        self.body["code"].as_str().unwrap_or_default()
    }

    /// Fails the test unless the status is the expected one; returns the answer.
    #[track_caller]
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}", self.text);
        self
    }

    /// Fails the test unless status and code are the expected ones; returns the answer.
    #[track_caller]
    pub fn expect_code(self, status: u16, code: &str) -> Self {
        assert_eq!((self.status, self.code()), (status, code), "{}", self.text);
        self
    }

    /// Returns a member's text.
    #[track_caller]
    pub fn text_of(&self, member: &str) -> String {
        match self.body[member].as_str() {
            Some(text) => text.to_owned(),
            None => panic!("no text `{member}` in {}", self.text),
        }
    }

    /// Returns the amount of a member that is money.
    #[track_caller]
    pub fn amount_of(&self, member: &str) -> i64 {
        match self.body[member]["amount"].as_i64() {
            Some(amount) => amount,
            None => panic!("no money `{member}` in {}", self.text),
        }
    }
}
