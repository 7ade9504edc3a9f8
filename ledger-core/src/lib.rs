//! The domain of Quittance, pure.
//!
//! A [`Command`] is decided on the [`State`] that it touches; the answer is a list of [`Draft`]s or a
//! [`Rejection`]. Numbered and stamped, each draft becomes an [`Envelope`], the event for ever: its
//! [`JournalEntry`] moves money between accounts, and [`State::evolve`] folds it back into the state
//! that the next command is decided on. Nothing here reads a clock, draws a random number or waits:
//! moments, ids, nonces and looked-up facts come in as arguments (I4).
//!
//! Modules in reading order: values ([`money`], [`ids`], [`time`], [`card_number`], [`personal`]), the
//! books ([`journal`], [`balance`]), the aggregates ([`client`], [`card`], [`merchant`], [`payment`],
//! [`settlement`], [`payout`], [`correction`], [`reconciliation`], [`fx`], [`api_key`]), what they are told and
//! say ([`command`], [`rejection`], [`event`], [`envelope`]), and [`state`], which puts them together.

pub mod api_key;
pub mod balance;
pub mod canonical;
pub mod card;
pub mod card_number;
pub mod client;
pub mod command;
pub mod correction;
pub mod envelope;
pub mod event;
pub mod fee;
pub mod fx;
pub mod ids;
pub mod journal;
pub mod merchant;
pub mod money;
pub mod payment;
pub mod payout;
pub mod personal;
pub mod reconciliation;
pub mod rejection;
pub mod settlement;
pub mod stamp;
pub mod state;
#[cfg(test)]
mod testing;
mod text;
pub mod time;
#[cfg(test)]
mod transitions;

pub use command::Command;
pub use envelope::{Draft, Envelope, LeafHash};
pub use event::Event;
pub use journal::{Account, JournalEntry, Owner};
pub use money::{Currency, Money};
pub use rejection::Rejection;
pub use state::State;
pub use time::Timestamp;
