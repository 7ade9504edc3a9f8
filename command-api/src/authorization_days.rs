//! How long authorizations can be captured: a setting per card brand.

use std::collections::BTreeMap;
use std::str::FromStr;

use ledger_core::card_number::Brand;
use ledger_core::payment::AUTHORIZATION_DAYS;

/// The longest that can be set.
const DAYS_MAX: u32 = 365;

/// Days from an authorization to its end, per brand.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AuthorizationDays {
    of_others: u32,
    of_brand: BTreeMap<&'static str, u32>,
}

/// The text sets no days.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("write days from 1 to 365, for a brand or for all others: `visa=7,amex=30,10`")]
pub struct InvalidDays;

impl AuthorizationDays {
    /// Returns the days of a brand.
    pub fn of(&self, brand: Option<Brand>) -> u32 {
        brand.and_then(|brand| self.of_brand.get(brand.name())).copied().unwrap_or(self.of_others)
    }
}

impl Default for AuthorizationDays {
    fn default() -> Self {
        Self { of_others: AUTHORIZATION_DAYS, of_brand: BTreeMap::new() }
    }
}

impl FromStr for AuthorizationDays {
    type Err = InvalidDays;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut days = Self::default();
        for setting in text.split(',') {
            let (brand, number) = match setting.split_once('=') {
                Some((brand, number)) => (Some(brand.parse::<Brand>().map_err(|_| InvalidDays)?), number),
                None => (None, setting),
            };
            let number = number.parse().ok().filter(|number| (1..=DAYS_MAX).contains(number));
            let number = number.ok_or(InvalidDays)?;
            match brand {
                Some(brand) => drop(days.of_brand.insert(brand.name(), number)),
                None => days.of_others = number,
            }
        }
        Ok(days)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_brand_has_its_days_and_all_others_theirs() {
        let days: AuthorizationDays = "visa=5,amex=30,10".parse().unwrap();
        let of = |brand: &str| days.of(Some(brand.parse().unwrap()));
        assert_eq!((of("visa"), of("amex"), of("jcb"), days.of(None)), (5, 30, 10, 10));
        assert_eq!(AuthorizationDays::default().of(Some(Brand::Visa)), 7);
    }

    #[test]
    fn what_sets_no_days_is_refused() {
        for text in ["", "0", "366", "-1", "visa", "visa=", "bank=7", "visa=7,", "7.5"] {
            assert_eq!(text.parse::<AuthorizationDays>(), Err(InvalidDays), "{text}");
        }
    }
}
