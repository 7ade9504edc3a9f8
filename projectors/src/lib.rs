//! Read models: folds of the log into tables.
//!
//! A [`projection::Projection`] folds a batch of events into its tables; [`projections`] holds one file for
//! each. Each has [`generation`]s, with tables and a [`checkpoint`] of their own. The [`runner`] takes the
//! next [`chunk`] behind a checkpoint out of the [`inbox`] of the broker or the log, with [`personal`] fields
//! opened, folds it and moves the checkpoint in the transaction of the rows (I6). What a projection can't
//! apply is [`parked`] by key, so that everything else goes on; what the log does not match is stopped (I14),
//! and [`health`] says so. What went wrong for good is put right by a [`rebuild`]. [`program`] makes the
//! runner a process of its own.

pub mod checkpoint;
mod chunk;
pub mod generation;
pub mod health;
mod inbox;
pub mod parked;
pub mod personal;
pub mod program;
pub mod projection;
pub mod projections;
pub mod rebuild;
mod retry;
pub mod runner;
mod running;
mod seldom;
#[cfg(test)]
mod testing;
