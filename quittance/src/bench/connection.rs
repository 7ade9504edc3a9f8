//! A connection to one of the services, kept alive: lean, because it shares its cores with what it measures.

use anyhow::{Context, ensure};
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderName, HeaderValue};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// A connection.
pub(super) struct Connection {
    sender: SendRequest<Full<Bytes>>,
    url: String,
    host: HeaderValue,
}

/// What is sent.
#[derive(Clone)]
pub(super) struct Sent {
    pub(super) path: String,
    /// The `Authorization` of the API key.
    pub(super) authorization: HeaderValue,
    /// The key and the body of a command; a query has none.
    pub(super) command: Option<(String, Bytes)>,
}

impl Sent {
    /// Tells how long the body is.
    pub(super) fn body_bytes(&self) -> u64 {
        self.command.as_ref().map_or(0, |(_, body)| body.len() as u64)
    }
}

impl Connection {
    /// Connects to where a URL like `http://127.0.0.1:8080` leads.
    pub(super) async fn open(url: &str) -> anyhow::Result<Self> {
        let host = url.strip_prefix("http://").context("benchmarks speak plain HTTP")?.trim_end_matches('/');
        let stream = TcpStream::connect(host).await.with_context(|| format!("can't reach {url}"))?;
        stream.set_nodelay(true)?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        // Its end shows in what is sent next.
        tokio::spawn(connection);
        Ok(Self { sender, url: url.to_owned(), host: HeaderValue::from_str(host)? })
    }

    /// Sends a request, and reads the whole answer.
    pub(super) async fn send(&mut self, sent: &Sent) -> anyhow::Result<(StatusCode, Bytes)> {
        let mut request = Request::builder()
            .uri(&sent.path)
            .header(HOST, &self.host)
            .header(AUTHORIZATION, &sent.authorization);
        let body = match &sent.command {
            Some((key, body)) => {
                request = request
                    .method(Method::POST)
                    .header(CONTENT_TYPE, HeaderValue::from_static("application/json"))
                    .header(IDEMPOTENCY_KEY, key);
                body.clone()
            }
            None => Bytes::new(),
        };
        let request = request.body(Full::new(body))?;
        // A service that answers a long body with 503 before it has read it closes the connection.
        if self.sender.ready().await.is_err() {
            *self = Self::open(&self.url).await?;
        }
        let answer = self.sender.send_request(request).await.context("there was no answer")?;
        let status = answer.status();
        Ok((status, answer.into_body().collect().await.context("the answer broke off")?.to_bytes()))
    }
}

/// Returns the header of an API key.
pub(super) fn authorization(key: &str) -> anyhow::Result<HeaderValue> {
    Ok(HeaderValue::from_str(&format!("Bearer {key}"))?)
}

/// Takes the text of a member out of an answer, without reading the rest: of the first one whose text begins
/// so.
///
/// # Errors
///
/// There is no such member, or its text is not plain.
pub(super) fn text_in<'a>(answer: &'a [u8], member: &str, beginning: &str) -> anyhow::Result<&'a str> {
    let name = format!("\"{member}\":\"");
    let begin = format!("{name}{beginning}");
    let found = answer.windows(begin.len()).position(|window| window == begin.as_bytes());
    let rest = &answer[found.with_context(|| format!("an answer has no {member}"))? + name.len()..];
    let end = rest.iter().position(|byte| *byte == b'"').context("an answer broke off")?;
    let text = std::str::from_utf8(&rest[..end])?;
    ensure!(!text.contains('\\'), "an answer's {member} is not plain text");
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_members_text_is_taken_out() {
        let answer = br#"{"card":{"id":"card_1"},"id":"pay_2","status":"captured"}"#;
        assert_eq!(text_in(answer, "id", "pay_").unwrap(), "pay_2");
        assert_eq!(text_in(answer, "status", "").unwrap(), "captured");
        assert!(text_in(answer, "id", "ref_").is_err() && text_in(br#"{"id":"x"#, "id", "").is_err());
    }
}
