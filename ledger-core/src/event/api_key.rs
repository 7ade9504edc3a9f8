//! What happens to API keys.

use serde::{Deserialize, Serialize};

use crate::api_key::Role;
use crate::ids::MerchantId;

/// `api_key.created`
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ApiKeyCreated {
    /// What the key may do.
    pub role: Role,
    /// The merchant that a merchant's key is bound to.
    pub merchant_id: Option<MerchantId>,
}

/// `api_key.revoked`
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ApiKeyRevoked {}
