//! Read models: folds of the log into tables.
//!
//! A [`projection::Projection`] folds a batch of events into its tables; [`projections`] holds one file for
//! each. The [`runner`] reads the log from each checkpoint on, lets projections that stand at one position
//! share a transaction, and moves the checkpoint in the transaction of the rows (I6). What a projection
//! can't apply is [`parked`] by key, so that everything else goes on. [`personal`] opens what the log keeps
//! as ciphertext.

pub mod generation;
pub mod parked;
pub mod personal;
pub mod projection;
pub mod projections;
pub mod runner;
