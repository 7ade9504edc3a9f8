//! Payments by the hundreds in one request.

use anyhow::ensure;
use hyper::StatusCode;

use super::load::{Session, Traffic};
use super::shop::Shop;

/// So many payments a request, of one merchant.
pub(super) struct Bulk {
    pub(super) shop: Shop,
    pub(super) commands: u64,
}

impl Traffic for Bulk {
    async fn step(&self, number: u64, session: &mut Session<'_>) -> anyhow::Result<()> {
        let sent = self.shop.bulk(number, self.commands);
        let answer = session.send("bulk request", self.commands, &sent, StatusCode::OK).await?;
        let captured = count(&answer, b"\"status\":\"captured\"");
        ensure!(captured == self.commands, "of {} payments {captured} were captured", self.commands);
        Ok(())
    }
}

/// Counts how often a text occurs.
pub(super) fn count(answer: &[u8], text: &[u8]) -> u64 {
    let mut count = 0;
    let mut rest = answer;
    while let Some(begin) = rest.iter().position(|byte| *byte == text[0]) {
        rest = &rest[begin..];
        let found = rest.starts_with(text);
        count += u64::from(found);
        rest = &rest[if found { text.len() } else { 1 }..];
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_counted() {
        assert_eq!(count(b"ababab aba", b"aba"), 2);
        assert_eq!(count(b"", b"aba"), 0);
        assert_eq!(count(b"aaaaab", b"ab"), 1);
    }
}
