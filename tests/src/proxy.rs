//! A TCP proxy that can fail: between a program and a server, it cuts, holds up, delays and refuses.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// What a proxy does to its connections.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
struct Weather {
    /// Counts cuts: a connection of an earlier count ends.
    cuts: u64,
    /// The next connection that has carried so many bytes since is cut.
    cut_after: Option<usize>,
    /// Nothing gets through, and nobody is told.
    is_frozen: bool,
    /// Who connects is turned away.
    is_closed: bool,
    /// How much later everything arrives.
    delay: Duration,
}

/// A proxy for one server; it ends with the value.
pub struct Proxy {
    /// Where it listens.
    pub address: SocketAddr,
    weather: Arc<watch::Sender<Weather>>,
    listening: tokio::task::JoinHandle<()>,
}

impl Proxy {
    /// Listens on a free port for connections to a server.
    pub async fn start(server: SocketAddr) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let weather = Arc::new(watch::Sender::new(Weather::default()));
        let shared = Arc::clone(&weather);
        let listening = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                if shared.borrow().is_closed {
                    continue;
                }
                let shared = Arc::clone(&shared);
                tokio::spawn(async move {
                    if let Ok(server) = TcpStream::connect(server).await {
                        carry(client, server, &shared).await;
                    }
                });
            }
        });
        Self { address, weather, listening }
    }

    /// Cuts all connections that there are.
    pub fn cut(&self) {
        self.weather.send_modify(|weather| weather.cuts += 1);
    }

    /// Cuts all connections once one of them has sent so many bytes more: in the middle of a message.
    pub fn cut_after(&self, bytes: usize) {
        self.weather.send_modify(|weather| weather.cut_after = Some(bytes));
    }

    /// Tells whether the cut that was asked for has come.
    pub fn has_cut(&self) -> bool {
        self.weather.borrow().cut_after.is_none()
    }

    /// Lets nothing through any more, without a word, or lets it through again: a half-open connection.
    pub fn freeze(&self, is_frozen: bool) {
        self.weather.send_modify(|weather| weather.is_frozen = is_frozen);
    }

    /// Cuts all connections and turns new ones away, or takes them again.
    pub fn close(&self, is_closed: bool) {
        self.weather.send_modify(|weather| {
            weather.is_closed = is_closed;
            weather.cuts += 1;
        });
    }

    /// Lets everything arrive so much later.
    pub fn delay(&self, delay: Duration) {
        self.weather.send_modify(|weather| weather.delay = delay);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.listening.abort();
        self.cut();
    }
}

/// Carries bytes both ways until either side ends or the connection is cut.
async fn carry(client: TcpStream, server: TcpStream, weather: &watch::Sender<Weather>) {
    let mut seen = weather.subscribe();
    let born = seen.borrow_and_update().cuts;
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    tokio::select! {
        () = pump(from_client, to_server, weather, true) => {}
        () = pump(from_server, to_client, weather, false) => {}
        _ = seen.wait_for(|weather| weather.cuts != born) => {}
    }
}

async fn pump(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    weather: &watch::Sender<Weather>,
    counts: bool,
) {
    let mut seen = weather.subscribe();
    let mut piece = vec![0; 16 * 1024];
    while let Ok(length @ 1..) = from.read(&mut piece).await {
        let _ = seen.wait_for(|weather| !weather.is_frozen).await;
        let delay = seen.borrow_and_update().delay;
        tokio::time::sleep(delay).await;
        let let_through = if counts { until_cut(weather, length) } else { length };
        if to.write_all(&piece[..let_through]).await.is_err() {
            return;
        }
        if let_through < length {
            weather.send_modify(|weather| weather.cuts += 1);
            return;
        }
    }
}

/// Counts bytes towards a cut that was asked for; returns how many of them still get through.
fn until_cut(weather: &watch::Sender<Weather>, length: usize) -> usize {
    let mut let_through = length;
    weather.send_if_modified(|weather| {
        if let Some(left) = weather.cut_after {
            let_through = left.min(length);
            weather.cut_after = (length <= left).then(|| left - length);
        }
        false
    });
    let_through
}
