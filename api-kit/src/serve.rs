//! The accept loop.
//!
//! `axum::serve` sets no timer, which leaves hyper's time limit for headers without effect: a client that
//! dribbles them would hold its connection for ever. Here every connection has limits.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use crate::metrics;

/// How long a client may take for a request's headers, and for its connection's first request: hyper's own
/// limit begins only when it knows which HTTP it speaks.
const HEADERS_LIMIT: Duration = Duration::from_secs(10);
/// How many connections are served at once; more wait in the listener's queue.
const CONNECTIONS_MAX: usize = 8192;
/// How often the recorder of metrics is told to let go of what it has summed up.
const UPKEEP_INTERVAL: Duration = Duration::from_secs(5);
/// How long requests under way may go on after the stop.
const DRAIN_LIMIT: Duration = Duration::from_secs(2);

/// Serves until the token is cancelled; then takes no more and lets requests under way end.
pub async fn serve(listener: TcpListener, router: Router, token: CancellationToken) -> io::Result<()> {
    serve_within(HEADERS_LIMIT, listener, router, token).await
}

/// Serves until the token is cancelled, and leaves new connections to whoever serves next.
pub async fn serve_for_now(listener: &TcpListener, router: Router, token: CancellationToken) {
    drain(accept(HEADERS_LIMIT, listener, router, token).await).await;
}

async fn serve_within(
    headers_limit: Duration,
    listener: TcpListener,
    router: Router,
    token: CancellationToken,
) -> io::Result<()> {
    let connections = accept(headers_limit, &listener, router, token).await;
    drop(listener);
    drain(connections).await;
    Ok(())
}

/// Lets requests under way end, for a while.
async fn drain(connections: GracefulShutdown) {
    let _ = tokio::time::timeout(DRAIN_LIMIT, connections.shutdown()).await;
}

/// Accepts connections until the token is cancelled; returns those that are open then.
async fn accept(
    headers_limit: Duration,
    listener: &TcpListener,
    router: Router,
    token: CancellationToken,
) -> GracefulShutdown {
    let mut builder = Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(headers_limit).max_headers(64);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(256)
        .max_header_list_size(16 * 1024)
        .keep_alive_interval(Duration::from_secs(20))
        .keep_alive_timeout(Duration::from_secs(10));
    let builder = Arc::new(builder);
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let graceful = GracefulShutdown::new();
    let mut upkeep = tokio::time::interval(UPKEEP_INTERVAL);
    upkeep.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let place = tokio::select! {
            place = Arc::clone(&places).acquire_owned() => place,
            () = token.cancelled() => break,
        };
        let Ok(place) = place else { break };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = token.cancelled() => break,
            _ = upkeep.tick() => {
                metrics::upkeep();
                continue;
            }
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                // Out of file descriptors, mostly: others will be closed.
                tracing::warn!(error = &error as &dyn std::error::Error, "connection was not accepted");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        let _ = stream.set_nodelay(true);
        let asked = CancellationToken::new();
        let first = asked.clone();
        let service = router.clone().map_request(move |request: Request<Incoming>| {
            first.cancel();
            request.map(Body::new)
        });
        let service = TowerToHyperService::new(service);
        let watcher = graceful.watcher();
        let builder = Arc::clone(&builder);
        tokio::spawn(async move {
            let connection = builder.serve_connection_with_upgrades(TokioIo::new(stream), service);
            let silent = async {
                if tokio::time::timeout(headers_limit, asked.cancelled()).await.is_ok() {
                    std::future::pending::<()>().await;
                }
            };
            tokio::select! {
                // What breaks here is the client's connection: there is nobody to tell.
                _ = watcher.watch(connection.into_owned()) => {}
                () = silent => {}
            }
            drop(place);
        });
    }
    graceful
}

#[cfg(test)]
mod tests {
    use axum::routing::get;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;

    use super::*;

    async fn server(token: &CancellationToken) -> (TcpStream, tokio::task::JoinHandle<io::Result<()>>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let slow = async || tokio::time::sleep(Duration::from_millis(300)).await;
        let router = Router::new().route("/", get(async || "here")).route("/slow", get(slow));
        let serving = tokio::spawn(serve_within(Duration::from_millis(200), listener, router, token.clone()));
        (TcpStream::connect(address).await.unwrap(), serving)
    }

    async fn said(stream: &mut TcpStream) -> String {
        let mut text = Vec::new();
        let _ = stream.read_to_end(&mut text).await;
        String::from_utf8_lossy(&text).into_owned()
    }

    #[tokio::test]
    async fn dribbled_headers_and_silence_end() {
        for begin in ["", "P", "PRI * HT", "GET / HTTP/1.1\r\nHos"] {
            let token = CancellationToken::new();
            let (mut stream, _serving) = server(&token).await;
            stream.write_all(begin.as_bytes()).await.unwrap();
            let ended = tokio::time::timeout(Duration::from_secs(5), said(&mut stream)).await;
            assert!(ended.is_ok(), "{begin:?} holds its connection");
        }
    }

    #[tokio::test]
    async fn a_request_under_way_is_answered_after_the_stop() {
        let token = CancellationToken::new();
        let (mut stream, serving) = server(&token).await;
        stream.write_all(b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
        tokio::time::sleep(Duration::from_millis(100)).await;
        token.cancel();
        assert!(said(&mut stream).await.starts_with("HTTP/1.1 200"));
        serving.await.unwrap().unwrap();
    }
}
