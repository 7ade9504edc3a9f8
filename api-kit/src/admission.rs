//! The time between a program's start and its first work: its databases may still be away, and health is
//! asked for all the while.

use std::error::Error;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use event_store::start_check::Unfit;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::health::Readiness;
use crate::{serve, service};

/// How long to wait before a database that is away is asked again.
const PAUSE: Duration = Duration::from_millis(500);

/// Repeats a check until it passes, and answers `/healthz`, `/readyz` and `/metrics` meanwhile; anything else
/// gets a 503. Tells whether it passed, or the program was told to stop before.
///
/// # Errors
///
/// The check failed for a reason that does not pass by itself.
pub async fn wait(
    listener: &TcpListener,
    stop: &CancellationToken,
    check: impl AsyncFn() -> Result<(), Unfit>,
) -> Result<bool, Unfit> {
    let waiting = Arc::new(Waiting::default());
    let done = stop.child_token();
    let checking = async {
        let admitted = tokio::select! {
            () = stop.cancelled() => Ok(false),
            checked = repeat(check, &waiting) => checked.map(|()| true),
        };
        done.cancel();
        admitted
    };
    let health = serve::serve_for_now(listener, service::not_yet(Arc::clone(&waiting) as _), done.clone());
    let ((), admitted) = tokio::join!(health, checking);
    admitted
}

async fn repeat(check: impl AsyncFn() -> Result<(), Unfit>, waiting: &Waiting) -> Result<(), Unfit> {
    loop {
        match check().await {
            Err(error @ Unfit::Away(..)) => {
                if waiting.note(error.to_string()) {
                    tracing::warn!(error = &error as &dyn Error, "the start waits");
                }
                tokio::time::sleep(PAUSE).await;
            }
            checked => return checked,
        }
    }
}

/// What is waited for.
#[derive(Default)]
struct Waiting(Mutex<Option<String>>);

impl Waiting {
    /// Notes a reason; tells whether it is news.
    fn note(&self, reason: String) -> bool {
        let mut noted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_news = noted.as_ref() != Some(&reason);
        *noted = Some(reason);
        is_news
    }
}

#[async_trait]
impl Readiness for Waiting {
    async fn reasons(&self) -> Vec<String> {
        let noted = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        vec![noted.unwrap_or_else(|| "starting".to_owned())]
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use event_store::start_check::Database;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;

    use super::*;

    async fn ask(listener: &TcpListener, path: &str) -> String {
        let mut stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    #[tokio::test]
    async fn health_is_answered_while_a_database_is_away() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let checks = AtomicU32::new(0);
        let check = async || match checks.fetch_add(1, Ordering::Relaxed) {
            0 => Err(Unfit::Away(Database::Log, None)),
            _ => Ok(()),
        };
        let asking = async {
            tokio::time::sleep(Duration::from_millis(100)).await;
            assert!(ask(&listener, "/healthz").await.starts_with("HTTP/1.1 200"));
            let ready = ask(&listener, "/readyz").await;
            assert!(ready.starts_with("HTTP/1.1 503") && ready.contains("the log is unavailable"), "{ready}");
            let other = ask(&listener, "/v1/payments").await;
            assert!(other.starts_with("HTTP/1.1 503") && other.contains("store_unavailable"), "{other}");
        };
        let stop = CancellationToken::new();
        let (admitted, ()) = tokio::join!(wait(&listener, &stop, check), asking);
        assert!(admitted.unwrap());
        assert_eq!(checks.load(Ordering::Relaxed), 2);
    }

    #[tokio::test]
    async fn a_stop_and_what_is_certain_end_the_wait() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stop = CancellationToken::new();
        let check = async || Err(Unfit::NotMigrated(Database::Log));
        assert!(matches!(wait(&listener, &stop, check).await, Err(Unfit::NotMigrated(_))));
        stop.cancel();
        let away = async || Err(Unfit::Away(Database::Log, None));
        assert!(!wait(&listener, &stop, away).await.unwrap());
    }
}
