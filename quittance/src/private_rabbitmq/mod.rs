//! RabbitMQ as the private node of one data folder.
//!
//! [`PrivateRabbit::start`] finds or installs RabbitMQ ([`programs`]), puts the node's folder in order
//! ([`home`]) and runs a node on it ([`node`]), which is then spoken to over HTTP ([`management`]); beside
//! it runs Erlang's directory of nodes ([`epmd`]). It does not matter whether the last run ended well, was
//! killed, or left its node behind.
//!
//! The node keeps nothing that the log does not have: what it has lost, projectors read from there.

mod epmd;
mod home;
mod management;
mod node;
mod programs;

pub use node::PrivateRabbit;
