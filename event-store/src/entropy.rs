//! Randomness, from the operating system.

use uuid::Uuid;

/// Draws random bytes.
///
/// # Panics
///
/// When the operating system has no randomness to give: nothing can be issued safely then.
#[expect(clippy::disallowed_methods, clippy::expect_used, reason = "the one place that draws randomness")]
pub fn bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("the operating system has no randomness");
    bytes
}

/// Draws a UUIDv7 (RFC 9562): ordered by its birth within this process.
#[expect(clippy::disallowed_methods, reason = "the one place that makes ids")]
pub fn uuid() -> Uuid {
    Uuid::now_v7()
}
