//! The read models, one file each.

mod accounts;
mod client_account;
mod correction;
mod deadlines;
mod fx_rate;
mod house_account;
mod merchant_account;
mod notification;
mod payment;
mod payout;
mod reconciliation;
mod settlement;

use crate::projection::Projection;

/// Returns all of them.
pub fn all() -> Vec<Box<dyn Projection>> {
    vec![
        Box::new(client_account::ClientAccount),
        Box::new(merchant_account::MerchantAccount),
        Box::new(house_account::HouseAccount),
        Box::new(payment::Payments),
        Box::new(settlement::Settlements),
        Box::new(payout::Payouts),
        Box::new(correction::Corrections),
        Box::new(fx_rate::FxRates),
        Box::new(reconciliation::Reconciliations),
        Box::new(notification::Notifications),
        Box::new(deadlines::Deadlines),
    ]
}
