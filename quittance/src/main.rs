//! quittance
fn main() {}
