//! The command API as a whole: executor, gateway, routes.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use api_kit::problem::ApiError;
use api_kit::serve;
use axum::Router;
use event_store::clock::Clock;
use event_store::{database, entropy};
use ledger_core::Command;
use ledger_core::api_key::Role;
use ledger_core::command::CreateKey;
use ledger_core::ids::{KeyId, MerchantId};
use sha2::{Digest, Sha256};
use sqlx::postgres::PgConnectOptions;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::authorization_days::AuthorizationDays;
use crate::executor::Executor;
use crate::gateway::Gateway;
use crate::idempotency::Idempotency;
use crate::keys::LedgerKeys;
use crate::known_cards::KnownCards;
use crate::order::{Answered, Order};
use crate::queue::Queue;
use crate::relay::RelayHealth;
use crate::routes;
use crate::sealing::Sealer;

/// How long the oldest command may have waited when a new one is still taken, unless set.
pub const QUEUE_WAIT_MAX: Duration = Duration::from_millis(250);

/// How long a stop waits for the executor.
const STOP_LIMIT: Duration = Duration::from_secs(3);

/// Connections for look-ups before the queue; the executor has its own.
const LOOKUP_CONNECTIONS: u32 = 12;

/// How a command API works, as far as an operator sets it.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How long the oldest command may have waited when a new one is still taken.
    pub queue_wait_max: Duration,
    /// How long authorizations can be captured.
    pub authorization_days: AuthorizationDays,
}

impl Default for Settings {
    fn default() -> Self {
        Self { queue_wait_max: QUEUE_WAIT_MAX, authorization_days: AuthorizationDays::default() }
    }
}

/// A running command API. Cheap to clone.
#[derive(Clone)]
pub struct CommandApi {
    gateway: Gateway,
}

/// An API key as it is shown once.
pub struct MintedKey {
    /// The public id.
    pub id: KeyId,
    /// The key itself.
    pub secret: String,
}

impl CommandApi {
    /// Starts the executor and prepares the gateway; connects when it is first used. It answers for the
    /// relay beside it, if there is one.
    pub fn start(
        options: PgConnectOptions,
        keys: LedgerKeys,
        clock: Clock,
        settings: Settings,
        relay: Option<RelayHealth>,
    ) -> anyhow::Result<Self> {
        let queue = Arc::new(Queue::new(settings.queue_wait_max));
        let conflict = |conflict: &ledger_core::rejection::Conflict, request_id: &str| {
            ApiError::Conflict(conflict.clone()).body(request_id)
        };
        let executor = Executor::start(Arc::clone(&queue), options.clone(), clock.clone(), conflict)
            .context("can't start the executor")?;
        let pool = database::pool(options, LOOKUP_CONNECTIONS);
        let cards = Arc::new(KnownCards::new(pool.clone()));
        let sealer = Sealer::new(pool.clone(), keys.master_key());
        let statements = Arc::new(Semaphore::new(1));
        let authorization_days = Arc::new(settings.authorization_days);
        let keys = Arc::new(keys);
        let gateway = Gateway {
            queue,
            pool,
            cards,
            sealer,
            statements,
            keys,
            authorization_days,
            clock,
            executor,
            relay,
        };
        Ok(Self { gateway })
    }

    /// Returns what commands go through.
    pub(crate) fn gateway(&self) -> Gateway {
        self.gateway.clone()
    }

    /// Returns all routes.
    fn router(&self) -> Router {
        routes::router(self.gateway.clone())
    }

    /// Creates an API key without a request.
    pub async fn create_key(
        &self,
        role: Role,
        merchant_id: Option<MerchantId>,
        actor: &str,
    ) -> anyhow::Result<MintedKey> {
        let (create, secret) = draw_key(role, merchant_id);
        let id = create.id;
        self.command(Command::CreateKey(create), actor).await.context("can't create an API key")?;
        Ok(MintedKey { id, secret })
    }

    /// Revokes an API key without a request.
    pub async fn revoke_key(&self, id: KeyId, actor: &str) -> anyhow::Result<()> {
        self.command(Command::RevokeKey(id), actor).await.context("can't revoke the API key")
    }

    /// Carries out a command of the program itself.
    async fn command(&self, command: Command, actor: &str) -> anyhow::Result<()> {
        let order = Order {
            command,
            idempotency: Idempotency::unique(),
            event_id: Order::draw_event_id(),
            actor: actor.to_owned(),
            api_key: None,
            request_id: None,
            subject_key: None,
            size: 256,
        };
        match self.gateway.queue.submit(order).await {
            Answered::Outcome { outcome, .. } if outcome.status < 300 => Ok(()),
            Answered::Outcome { outcome, .. } => bail!("refused with status {}", outcome.status),
            Answered::Refused(refusal) => bail!("refused: {refusal:?}"),
        }
    }

    /// Serves until the token is cancelled; then takes no more commands, carries out those that wait, and
    /// answers them.
    ///
    /// # Errors
    ///
    /// The executor has ended, so no command would be carried out.
    pub async fn serve(&self, listener: TcpListener, token: CancellationToken) -> anyhow::Result<()> {
        let mut executor = self.gateway.executor.clone();
        let serving =
            async { serve::serve(listener, self.router(), token.clone()).await.context("can't serve") };
        let working = async {
            tokio::select! {
                () = token.cancelled() => self.stop().await,
                () = executor.ended() => bail!("the executor has ended"),
            }
            Ok(())
        };
        tokio::try_join!(serving, working)?;
        Ok(())
    }

    /// Takes no more commands, and waits until those that wait are carried out, for a while: with the
    /// database away they end at their deadlines.
    pub async fn stop(&self) {
        self.gateway.queue.close();
        let _ = tokio::time::timeout(STOP_LIMIT, self.gateway.executor.clone().ended()).await;
    }
}

/// Draws a key: 256 bits, of which only the SHA-256 is kept.
pub(crate) fn draw_key(role: Role, merchant_id: Option<MerchantId>) -> (CreateKey, String) {
    let secret = format!("qk_{}", hex::encode(entropy::bytes::<32>()));
    let secret_hash = Sha256::digest(secret.as_bytes()).into();
    (CreateKey { id: KeyId::new(entropy::uuid()), role, merchant_id, secret_hash }, secret)
}
