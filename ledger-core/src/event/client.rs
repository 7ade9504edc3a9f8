//! What happens to clients.

use serde::{Deserialize, Serialize};

use crate::personal::{Reason, Sealed};

/// `client.opened`
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ClientOpened {
    /// Personal: the client's name.
    pub name: Sealed,
    /// Personal: the client's e-mail address.
    pub email: Option<Sealed>,
    /// Personal: what the operator noted of the client.
    pub metadata: Option<Sealed>,
}

/// `client.closed`
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Closed {
    /// Why, if anyone said.
    pub reason: Option<Reason>,
}
