//! The PostgreSQL log: append, read, tail; and the broker that speeds its readers up.
//!
//! One writer at a time: [`writer::LogWriter::lock`] takes the log's lock, everything that a batch is
//! decided on is read under it, and [`writer::Locked::commit`] appends events, outcomes and write-side
//! rows in one transaction (I2, I5). Readers take ranges of positions in short statements and hold
//! nothing up. A program's start is checked by [`start_check`], with what [`secrets`] hold. [`clock`] and [`entropy`] are the only places where time and randomness come in.

pub mod batch;
pub mod broker;
pub mod clock;
pub mod database;
pub mod entropy;
pub mod error;
pub mod key_check;
pub mod load;
pub mod lookup;
pub mod migrate;
pub mod pause;
pub mod read_model;
pub mod reader;
pub mod secrets;
pub mod server_url;
pub mod start_check;
pub mod tail;
pub mod writer;

pub use error::StoreError;
