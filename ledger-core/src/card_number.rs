//! Card numbers and CVCs: read, checked, compared, and never shown.
//!
//! Neither type implements `Debug` or `Display`, both are wiped when dropped (I12). A number is known
//! to the ledger by its [`Fingerprint`], a CVC is computed again whenever it is checked: both are keyed
//! functions whose keys are not in the database.

use std::fmt;
use std::str::FromStr;

use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::time::Day;

/// A card brand, told by prefix and length.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Brand {
    /// 4; 13, 16 or 19 digits.
    Visa,
    /// 51–55, 2221–2720; 16 digits.
    Mastercard,
    /// 34, 37; 15 digits.
    Amex,
    /// 6011, 644–649, 65; 16–19 digits.
    Discover,
    /// 300–305, 3095, 36, 38–39; 14–19 digits.
    Diners,
    /// 3528–3589; 16–19 digits.
    Jcb,
    /// 62, 81; 16–19 digits.
    Unionpay,
    /// 50, 56–58, 6304, 6759, 6761–6763; 12–19 digits.
    Maestro,
}

/// Every brand with its name and with the prefix and length of the numbers that we issue.
const BRANDS: [(Brand, &str, &str, usize); 8] = [
    (Brand::Visa, "visa", "4", 16),
    (Brand::Mastercard, "mastercard", "53", 16),
    (Brand::Amex, "amex", "37", 15),
    (Brand::Discover, "discover", "6011", 16),
    (Brand::Diners, "diners", "36", 14),
    (Brand::Jcb, "jcb", "3528", 16),
    (Brand::Unionpay, "unionpay", "62", 16),
    (Brand::Maestro, "maestro", "6759", 16),
];

impl Brand {
    /// Tells the brand of a number of ASCII digits; `None` where no brand has its prefix and length.
    fn of(digits: &[u8]) -> Option<Self> {
        let prefix = |n: usize| digits.iter().take(n).fold(0_u32, |sum, d| sum * 10 + u32::from(d - b'0'));
        let (brand, lengths): (Self, &[usize]) = match (prefix(2), prefix(3), prefix(4)) {
            (40..=49, _, _) => (Self::Visa, &[13, 16, 19]),
            (51..=55, _, _) | (_, _, 2221..=2720) => (Self::Mastercard, &[16]),
            (34 | 37, _, _) => (Self::Amex, &[15]),
            (65, _, _) | (_, 644..=649, _) | (_, _, 6011) => (Self::Discover, &[16, 17, 18, 19]),
            (36 | 38 | 39, _, _) | (_, 300..=305, _) | (_, _, 3095) => {
                (Self::Diners, &[14, 15, 16, 17, 18, 19])
            }
            (_, _, 3528..=3589) => (Self::Jcb, &[16, 17, 18, 19]),
            (62 | 81, _, _) => (Self::Unionpay, &[16, 17, 18, 19]),
            (50 | 56..=58, _, _) | (_, _, 6304 | 6759 | 6761..=6763) => {
                (Self::Maestro, &[12, 13, 14, 15, 16, 17, 18, 19])
            }
            _ => return None,
        };
        lengths.contains(&digits.len()).then_some(brand)
    }

    /// Returns the name that the API uses.
    pub fn name(self) -> &'static str {
        self.issuing().0
    }

    /// Returns how many digits the brand's CVC has.
    pub const fn cvc_length(self) -> usize {
        match self {
            Self::Amex => 4,
            Self::Visa
            | Self::Mastercard
            | Self::Discover
            | Self::Diners
            | Self::Jcb
            | Self::Unionpay
            | Self::Maestro => 3,
        }
    }

    fn issuing(self) -> (&'static str, &'static str, usize) {
        BRANDS
            .iter()
            .find(|(brand, ..)| *brand == self)
            .map_or(("", "", 0), |(_, name, prefix, length)| (*name, *prefix, *length))
    }
}

/// The text names no brand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("unknown card brand")]
pub struct UnknownBrand;

impl FromStr for Brand {
    type Err = UnknownBrand;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        BRANDS.iter().find(|(_, known, ..)| *known == name).map(|(brand, ..)| *brand).ok_or(UnknownBrand)
    }
}

/// 12 to 19 digits that someone sent as a card number. May belong to no brand, may fail Luhn.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct CardNumber {
    digits: [u8; 19],
    length: usize,
}

/// The text is not 12 to 19 digits, grouped at most by single spaces or hyphens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("malformed card number")]
pub struct MalformedNumber;

impl CardNumber {
    /// Reads a number; single spaces and hyphens between digits are dropped.
    pub fn parse(text: &str) -> Result<Self, MalformedNumber> {
        let mut number = Self { digits: [0; 19], length: 0 };
        let mut after_digit = false;
        for byte in text.bytes() {
            match byte {
                b'0'..=b'9' if number.length < 19 => {
                    number.digits[number.length] = byte;
                    number.length += 1;
                    after_digit = true;
                }
                b' ' | b'-' if after_digit => after_digit = false,
                _ => return Err(MalformedNumber),
            }
        }
        (after_digit && number.length >= 12).then_some(number).ok_or(MalformedNumber)
    }

    /// Makes a number of a brand from randomness that the caller drew.
    pub fn issue(brand: Brand, random: [u8; 16]) -> Self {
        let (_, prefix, length) = brand.issuing();
        let mut number = Self { digits: [b'0'; 19], length };
        let mut random = u128::from_be_bytes(random);
        for (digit, byte) in number.digits.iter_mut().zip(prefix.bytes()) {
            *digit = byte;
        }
        for digit in &mut number.digits[prefix.len()..length - 1] {
            *digit = b'0' + (random % 10) as u8;
            random /= 10;
        }
        let check = (10 - luhn_sum(number.as_bytes()) % 10) % 10;
        number.digits[length - 1] = b'0' + check as u8;
        number
    }

    fn as_bytes(&self) -> &[u8] {
        &self.digits[..self.length]
    }

    /// Returns the brand, or `None` where no brand has this prefix and length.
    pub fn brand(&self) -> Option<Brand> {
        Brand::of(self.as_bytes())
    }

    /// Tells whether the number could be a card's: it passes Luhn and fits a brand.
    pub fn is_valid(&self) -> bool {
        luhn_sum(self.as_bytes()).is_multiple_of(10) && self.brand().is_some()
    }

    /// Returns the last four digits, which may be shown and stored.
    pub fn last4(&self) -> String {
        String::from_utf8_lossy(&self.digits[self.length - 4..self.length]).into_owned()
    }

    /// Returns all digits: only for the one answer that shows a new card to its issuer.
    pub fn reveal(&self) -> Zeroizing<String> {
        Zeroizing::new(String::from_utf8_lossy(self.as_bytes()).into_owned())
    }

    /// Computes the number's fingerprint: HMAC-SHA256 under a key that is not in the database.
    pub fn fingerprint(&self, key: &[u8; 32]) -> Fingerprint {
        Fingerprint(keyed(key, &[b"fingerprint", self.as_bytes()]))
    }

    /// Computes the CVC of the number with an expiry, as issuers do: a keyed function, stored nowhere.
    pub fn cvc(&self, expiry: Expiry, key: &[u8; 32]) -> Cvc {
        let digest = keyed(key, &[b"cvc", self.as_bytes(), expiry.to_string().as_bytes()]);
        let length = self.brand().map_or(3, Brand::cvc_length);
        let mut value = digest[..8].iter().fold(0_u64, |sum, byte| (sum << 8) + u64::from(*byte));
        let mut cvc = Cvc { digits: [0; 4], length };
        for digit in &mut cvc.digits[..length] {
            *digit = b'0' + (value % 10) as u8;
            value /= 10;
        }
        cvc
    }
}

/// The sum of the Luhn algorithm (ISO/IEC 7812-1 annex B) over ASCII digits; valid when divisible by 10.
fn luhn_sum(digits: &[u8]) -> u32 {
    digits
        .iter()
        .rev()
        .enumerate()
        .map(|(place, byte)| match (place % 2, u32::from(byte - b'0')) {
            (1, digit) if digit > 4 => digit * 2 - 9,
            (1, digit) => digit * 2,
            (_, digit) => digit,
        })
        .sum()
}

/// HMAC-SHA256 over parts, each behind its length.
fn keyed(key: &[u8; 32], parts: &[&[u8]]) -> [u8; 32] {
    #[expect(clippy::expect_used, reason = "HMAC takes keys of any length")]
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    for part in parts {
        mac.update(&[part.len() as u8]);
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

/// What a card number is known by: it tells nothing about the number to those without the key.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Fingerprint(pub [u8; 32]);

/// A card verification code, as sent or as computed.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct Cvc {
    digits: [u8; 4],
    length: usize,
}

/// The text is not three or four digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("malformed CVC")]
pub struct MalformedCvc;

impl Cvc {
    /// Reads three or four digits.
    pub fn parse(text: &str) -> Result<Self, MalformedCvc> {
        let sent = text.as_bytes();
        if !(3..=4).contains(&sent.len()) || !sent.iter().all(u8::is_ascii_digit) {
            return Err(MalformedCvc);
        }
        let mut cvc = Self { digits: [0; 4], length: sent.len() };
        cvc.digits[..sent.len()].copy_from_slice(sent);
        Ok(cvc)
    }

    /// Compares in a time that does not depend on the digits.
    pub fn matches(&self, other: &Self) -> bool {
        (self.length == other.length) & bool::from(self.digits.ct_eq(&other.digits))
    }

    /// Returns the digits: only for the one answer that shows a new card to its issuer.
    pub fn reveal(&self) -> Zeroizing<String> {
        Zeroizing::new(String::from_utf8_lossy(&self.digits[..self.length]).into_owned())
    }
}

/// The month at whose end a card stops being valid.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct Expiry {
    /// The year, four digits.
    #[serde(rename = "exp_year")]
    pub year: u16,
    /// The month, 1 to 12.
    #[serde(rename = "exp_month")]
    pub month: u8,
}

impl Expiry {
    /// Makes an expiry of a month (1 to 12) and a year of four digits; `None` outside of these.
    pub fn new(month: i64, year: i64) -> Option<Self> {
        let valid = (1..=12).contains(&month) && (1000..=9999).contains(&year);
        valid.then_some(Self { year: year as u16, month: month as u8 })
    }

    /// Returns the month of a day, `years` years later.
    pub fn years_after(day: Day, years: u16) -> Self {
        Self { year: (day.year() as u16).saturating_add(years), month: day.month() as u8 }
    }

    /// Tells whether the month's end (UTC) has passed on a day.
    pub fn is_past(self, today: Day) -> bool {
        (i32::from(self.year), u32::from(self.month)) < (today.year(), today.month())
    }
}

impl fmt::Display for Expiry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02}{:04}", self.month, self.year)
    }
}

/// Tells whether free text holds a card number: a run of digits that touches no letter and no other
/// digit, in one piece or grouped as on cards (4-4-4-4 or 4-6-5, by single spaces or hyphens), whose
/// prefix and length fit a brand and that passes Luhn.
pub fn holds_card_number(text: &str) -> bool {
    let groups = digit_groups(text);
    let is_card = |groups: &[Group<'_>]| {
        let (first, last) = (&groups[0], &groups[groups.len() - 1]);
        let joined = groups.windows(2).all(|pair| pair[0].joins_next);
        let digits: Zeroizing<String> = Zeroizing::new(groups.iter().map(|group| group.digits).collect());
        let touches_letter = first.after_letter || last.before_letter;
        joined && !touches_letter && CardNumber::parse(&digits).is_ok_and(|number| number.is_valid())
    };
    let shaped = |lengths: &[usize]| {
        let fits = |window: &&[Group<'_>]| window.iter().map(|g| g.digits.len()).eq(lengths.iter().copied());
        groups.windows(lengths.len()).filter(fits).any(is_card)
    };
    groups.chunks(1).any(is_card) || shaped(&[4, 4, 4, 4]) || shaped(&[4, 6, 5])
}

/// A run of digits as long as it goes, with what stands around it.
struct Group<'a> {
    digits: &'a str,
    after_letter: bool,
    before_letter: bool,
    joins_next: bool,
}

fn digit_groups(text: &str) -> Vec<Group<'_>> {
    let mut groups = Vec::new();
    let mut rest = 0;
    while let Some(start) = text[rest..].find(|c: char| c.is_ascii_digit()).map(|at| rest + at) {
        let end = text[start..].find(|c: char| !c.is_ascii_digit()).map_or(text.len(), |at| start + at);
        let (mut before, mut after) = (text[..start].chars(), text[end..].chars());
        let next = after.next();
        groups.push(Group {
            digits: &text[start..end],
            after_letter: before.next_back().is_some_and(char::is_alphabetic),
            before_letter: next.is_some_and(char::is_alphabetic),
            joins_next: matches!(next, Some(' ' | '-')) && after.next().is_some_and(|c| c.is_ascii_digit()),
        });
        rest = end;
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(text: &str) -> CardNumber {
        CardNumber::parse(text).unwrap()
    }

    #[test]
    fn tells_the_brand_of_public_test_numbers() {
        for (text, brand) in [
            ("4242424242424242", Brand::Visa),
            ("4222222222222", Brand::Visa),
            ("5555555555554444", Brand::Mastercard),
            ("2223003122003222", Brand::Mastercard),
            ("378282246310005", Brand::Amex),
            ("6011111111111117", Brand::Discover),
            ("3056930009020004", Brand::Diners),
            ("36227206271667", Brand::Diners),
            ("3566002020360505", Brand::Jcb),
            ("6200000000000005", Brand::Unionpay),
            ("6205500000000000004", Brand::Unionpay),
        ] {
            assert_eq!(number(text).brand(), Some(brand), "{text}");
            assert!(number(text).is_valid(), "{text}");
        }
    }

    #[test]
    fn no_brand_without_its_prefix_and_length() {
        for text in
            ["42424242424242", "9999999999999995", "222000000000000", "2721000000000004", "550000000000000"]
        {
            assert_eq!(number(text).brand(), None, "{text}");
        }
        assert!(!number("4242424242424241").is_valid());
    }

    #[test]
    fn reads_groups_by_single_separators_only() {
        assert_eq!(number("4242 4242-4242 4242").last4(), "4242");
        for text in [
            "4242  4242 4242 4242",
            " 4242424242424242",
            "4242424242424242-",
            "42424242424",
            "4242x42424242",
            "",
        ] {
            assert!(CardNumber::parse(text).is_err(), "{text}");
        }
        assert!(CardNumber::parse("42424242424242424242").is_err());
    }

    #[test]
    fn issues_valid_numbers_of_every_brand() {
        for (brand, name, _, length) in BRANDS {
            for random in [[0; 16], [255; 16], [7; 16]] {
                let issued = CardNumber::issue(brand, random);
                assert!(issued.is_valid() && issued.length == length, "{name}");
                assert_eq!(issued.brand(), Some(brand));
            }
            assert_eq!((name.parse(), brand.name()), (Ok(brand), name));
        }
        let mut random = [0; 16];
        random[8..].copy_from_slice(&12_345_678_901_234_u64.to_be_bytes());
        assert_eq!(CardNumber::issue(Brand::Visa, random).reveal().as_str(), "4432109876543215");
    }

    #[test]
    fn cvc_depends_on_number_expiry_and_key() {
        let expiry = Expiry::new(11, 2029).unwrap();
        let visa = number("4242424242424242");
        let same = visa.cvc(expiry, &[1; 32]);
        assert!(same.matches(&visa.cvc(expiry, &[1; 32])));
        assert_eq!(same.reveal().len(), 3);
        assert_eq!(number("378282246310005").cvc(expiry, &[1; 32]).reveal().len(), 4);
        let others = (2..40_u8).map(|key| visa.cvc(expiry, &[key; 32]));
        assert!(others.filter(|other| other.matches(&same)).count() < 5);
        assert!(!Cvc::parse("0123").unwrap().matches(&Cvc::parse("012").unwrap()));
        assert!(Cvc::parse("12a").is_err() && Cvc::parse("12345").is_err() && Cvc::parse("12").is_err());
    }

    /// Cards that were issued long ago are paid with for years: what they are known by stays what it is.
    #[test]
    fn fingerprint_and_cvc_are_what_they_were() {
        let expiry = Expiry::new(11, 2029).unwrap();
        let visa = number("4242424242424242");
        assert_eq!(
            hex::encode(visa.fingerprint(&[1; 32]).0),
            "79aa23efb1c860f351833262d15ac95b1db16f4b8d5eb90af1db3b18a6529a2a"
        );
        assert_eq!(visa.cvc(expiry, &[1; 32]).reveal().as_str(), "223");
        assert_eq!(number("378282246310005").cvc(expiry, &[1; 32]).reveal().as_str(), "7660");
    }

    #[test]
    fn a_card_is_valid_to_the_end_of_its_month() {
        let day = |text: &str| text.parse::<crate::Timestamp>().unwrap().day();
        let expiry = Expiry::new(11, 2026).unwrap();
        assert!(!expiry.is_past(day("2026-11-30T23:59:59.999999Z")));
        assert!(expiry.is_past(day("2026-12-01T00:00:00Z")));
        assert!(
            Expiry::new(0, 2026).is_none() && Expiry::new(13, 2026).is_none() && Expiry::new(1, 26).is_none()
        );
    }

    #[test]
    fn finds_card_numbers_in_text() {
        for text in [
            "4242424242424242",
            "pay with 4242 4242 4242 4242, please",
            "card:4242-4242-4242-4242.",
            "3782 822463 10005",
            "no 12 4242 4242 4242 4242",
            "é 5555555555554444 é",
        ] {
            assert!(holds_card_number(text), "{text}");
        }
    }

    #[test]
    fn leaves_other_numbers_alone() {
        for text in [
            "4242424242424241",
            "x4242424242424242",
            "4242424242424242é",
            "42 42424242424242",
            "4242  4242 4242 4242",
            "4242 4242 4242 42425",
            "order 20261124000000000001",
            "pay_019700000000700080000000000000ff",
            "",
        ] {
            assert!(!holds_card_number(text), "{text}");
        }
    }
}
