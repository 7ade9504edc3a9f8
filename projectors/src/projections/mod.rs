//! The read models, one file each.

mod accounts;
mod client_account;
mod house_account;
mod merchant_account;
mod notification;
mod payment;

use crate::projection::Projection;

/// Returns all of them.
pub fn all() -> Vec<Box<dyn Projection>> {
    vec![
        Box::new(client_account::ClientAccount),
        Box::new(merchant_account::MerchantAccount),
        Box::new(house_account::HouseAccount),
        Box::new(payment::Payments),
        Box::new(notification::Notifications),
    ]
}
