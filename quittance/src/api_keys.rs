//! `quittance api-keys`: the keys that let callers in.

use clap::Subcommand;
use command_api::keys::LedgerKeys;
use command_api::service::{CommandApi, Settings};
use event_store::clock::Clock;
use event_store::database;
use ledger_core::api_key::Role;
use ledger_core::ids::{KeyId, MerchantId};
use sqlx::PgPool;

use crate::place::Place;

/// Who creates and revokes keys from the command line.
const ACTOR: &str = "system:cli";

/// What to do with keys.
#[derive(Clone, Debug, Subcommand)]
pub enum Action {
    /// Creates a key, and shows it this once.
    Create {
        /// operator, merchant, auditor or analyst.
        #[arg(long)]
        role: Role,
        /// The merchant of a merchant's key.
        #[arg(long, required_if_eq("role", "merchant"))]
        merchant: Option<MerchantId>,
    },
    /// Lists all keys, without what lets in.
    List,
    /// Revokes a key, at once for all processes.
    Revoke {
        /// The key's id.
        id: KeyId,
    },
}

/// Does it. Keys are events: this appends to the log, also beside a running system.
pub async fn run(place: &Place, action: Action) -> anyhow::Result<()> {
    let databases = place.open().await?;
    let done = act(place, &databases.log_url, action).await;
    databases.close().await?;
    done
}

#[expect(clippy::print_stdout, reason = "the key is what the program is asked for")]
async fn act(place: &Place, log_url: &str, action: Action) -> anyhow::Result<()> {
    let options = database::options(log_url, "quittance api-keys")?;
    let start = |options| {
        let keys = LedgerKeys::of(&place.secrets()?)?;
        CommandApi::start(options, keys, Clock::system(), Settings::default(), None)
    };
    match action {
        Action::List => list(&database::pool(options, 1)).await,
        Action::Create { role, merchant } => {
            anyhow::ensure!(
                (role == Role::Merchant) == merchant.is_some(),
                "--merchant goes with the role merchant, and only with it"
            );
            let api = start(options)?;
            let key = api.create_key(role, merchant, ACTOR).await;
            api.stop().await;
            let key = key?;
            println!("{}  {}", key.id, key.secret);
            Ok(())
        }
        Action::Revoke { id } => {
            let api = start(options)?;
            let revoked = api.revoke_key(id, ACTOR).await;
            api.stop().await;
            revoked
        }
    }
}

#[expect(clippy::print_stdout, reason = "the list is what the program is asked for")]
async fn list(pool: &PgPool) -> anyhow::Result<()> {
    let keys: Vec<(String, String, Option<String>, bool)> =
        sqlx::query_as("SELECT id, role, merchant_id, revoked FROM api_keys ORDER BY id")
            .fetch_all(pool)
            .await?;
    for (id, role, merchant, revoked) in keys {
        let state = if revoked { "revoked" } else { "active" };
        println!("{id}  {role:8}  {state:7}  {}", merchant.unwrap_or_default());
    }
    Ok(())
}
