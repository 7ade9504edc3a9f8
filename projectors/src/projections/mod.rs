//! The read models, one file each.

mod client_account;
mod entries;
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
        Box::new(payment::PaymentSearch),
        Box::new(notification::Notification),
    ]
}
