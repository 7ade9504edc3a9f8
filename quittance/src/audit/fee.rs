//! Fees, computed again in whole numbers.

/// One percent, in the unit of [`percent`]: a ten-thousandth of a percent.
const ONE_PERCENT: i128 = 10_000;

/// Reads a percentage from 0 to 100 with at most four decimals, in ten-thousandths of a percent.
pub(super) fn percent(text: &str) -> Option<i128> {
    let (whole, decimals) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(whole) || !digits(decimals) || whole.len() > 3 || decimals.len() > 4 {
        return None;
    }
    let value: i128 = format!("{whole}{decimals:0<4}").parse().ok()?;
    (value <= 100 * ONE_PERCENT).then_some(value)
}

/// Computes a capture's fee: `min(captured, half_up(captured × percent ÷ 100) + fixed)`.
pub(super) fn taken(captured: i128, percent: i128, fixed: i128) -> i128 {
    (divided_half_up(captured * percent, 100 * ONE_PERCENT) + fixed).min(captured)
}

/// Computes what one more refund gives back: `half_up(taken × refunded ÷ captured) − given back before`,
/// where `refunded` includes this refund, held to what lies between nothing and the refund itself.
pub(super) fn given_back(taken: i128, before: i128, captured: i128, refunded: i128, refund: i128) -> i128 {
    if captured <= 0 || refund <= 0 {
        return 0;
    }
    (divided_half_up(taken.saturating_mul(refunded), captured) - before).clamp(0, refund)
}

/// Divides numbers that are not negative; a half is rounded up. A forged log may hold any amounts, so
/// products stop at the end of their type.
const fn divided_half_up(number: i128, by: i128) -> i128 {
    number.saturating_mul(2).saturating_add(by) / (2 * by)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_the_contract() {
        let percent = percent("1.40").unwrap();
        assert_eq!(taken(10_000, percent, 25), 165);
        assert_eq!(given_back(165, 0, 10_000, 10_000, 10_000), 165);
    }

    #[test]
    fn rounds_half_up_and_takes_no_more_than_there_is() {
        let of = |captured, text| taken(captured, percent(text).unwrap(), 0);
        assert_eq!((of(100, "0.5"), of(100, "0.4999"), of(100, "2.5")), (1, 0, 3));
        assert_eq!(taken(7, percent("100").unwrap(), 25), 7);
    }

    #[test]
    fn a_refund_gives_back_between_nothing_and_itself() {
        assert_eq!(given_back(100, 90, 1_000, 500, 10), 0);
        assert_eq!(given_back(100, 0, 100, 100, 40), 40);
    }

    #[test]
    fn percentages_are_plain_decimals() {
        assert_eq!(percent("0.0001"), Some(1));
        assert_eq!(percent("100.0000"), Some(1_000_000));
        for text in ["", ".5", "5.", "-1", "1e1", "100.0001", "0.00001", "1,5"] {
            assert_eq!(percent(text), None, "{text}");
        }
    }
}
