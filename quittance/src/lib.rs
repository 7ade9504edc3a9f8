//! The `quittance` program: the whole system in one process tree, and the tools around it.
//!
//! Modules in reading order: [`cli`], what the command line says; [`up`], the running system, made of
//! [`data_dir`], the folder that it holds, [`private_postgres`] and [`private_rabbitmq`], the database and the
//! broker that it brings along where it is given none, [`secrets`] and [`credentials`], and [`system`], its
//! parts in one process; [`demo`], traffic for it; and what auditors and operators run beside it: [`audit`],
//! [`api_keys`], [`parked`].

pub mod api_keys;
pub mod audit;
pub mod audit_command;
pub mod cli;
pub mod credentials;
pub mod data_dir;
pub mod database_url;
pub mod demo;
pub mod migrate_command;
mod packages;
pub mod parked;
pub mod place;
pub mod private_postgres;
pub mod private_rabbitmq;
mod private_server;
pub mod secrets;
pub mod start_screen;
pub mod system;
pub mod up;
