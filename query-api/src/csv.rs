//! CSV (RFC 4180) that a spreadsheet can open without running anything.

/// Writes a row.
pub(crate) fn row<const N: usize>(fields: [String; N]) -> String {
    let mut row = fields.map(|field| quoted(&field)).join(",");
    row.push_str("\r\n");
    row
}

/// Quotes a field where it must be. Text that a spreadsheet would take for a formula gets an apostrophe
/// before it; numbers, also negative ones, stay numbers.
fn quoted(field: &str) -> String {
    let is_number = field.strip_prefix('-').unwrap_or(field).bytes().all(|b| b.is_ascii_digit() || b == b'.');
    let safe = if !is_number && field.starts_with(['=', '+', '-', '@', '\t', '\r']) {
        format!("'{field}")
    } else {
        field.to_owned()
    };
    if safe.contains([',', '"', '\r', '\n']) { format!("\"{}\"", safe.replace('"', "\"\"")) } else { safe }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formulas_become_text_and_numbers_stay() {
        let fields = ["-12.34", "-1+2", "=1", "@x", "a,b", "say \"hi\"", "", "client:cli_1:held"];
        let written = "-12.34,'-1+2,'=1,'@x,\"a,b\",\"say \"\"hi\"\"\",,client:cli_1:held\r\n";
        assert_eq!(row(fields.map(str::to_owned)), written);
    }
}
