//! The `quittance` program: the whole system in one process tree, and the tools around it.
//!
//! Modules in reading order: [`data_dir`], the folder that a running system holds, and
//! [`private_postgres`], the database that it brings along where it is given none.

pub mod audit;
pub mod data_dir;
pub mod private_postgres;
