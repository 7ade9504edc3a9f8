//! The `quittance` program: the whole system in one process tree, and the tools around it.
//!
//! Modules in reading order: [`cli`], what the command line says; [`up`], the running system, made of
//! [`data_dir`], the folder that it holds, [`servers`], the database ([`private_postgres`]) and the broker
//! ([`private_rabbitmq`]) that it brings along where it is given none, [`secrets`] and [`credentials`], and
//! [`system`], its parts in one process; [`demo`], traffic for it; and what auditors and operators run beside
//! it: [`audit`], [`api_keys`], [`parked`], [`rebuild`]; [`bench`] measures.

pub mod api_keys;
pub mod audit;
pub mod audit_command;
pub mod bench;
mod caller;
pub mod cli;
pub mod credentials;
pub mod data_dir;
pub mod demo;
pub mod migrate_command;
mod packages;
pub mod parked;
pub mod place;
pub mod private_postgres;
pub mod private_rabbitmq;
mod private_server;
pub mod rebuild;
pub mod secrets;
pub mod servers;
pub mod start_screen;
pub mod system;
pub mod up;
