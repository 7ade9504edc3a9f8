//! Bank statements as they come in: a file of one of two formats becomes lines, or a list of what is wrong
//! with it. No error repeats what stands in the file.

mod camt053;
mod csv;
mod minor_units;
mod xml;

use api_kit::fields::{FieldCode, FieldError, check_plain};
use api_kit::problem::ApiError;
use ledger_core::reconciliation::statement::{LINES_MAX, Line, Statement, StatementFormat};
use ledger_core::time::Day;

/// The longest reference, in characters: longer ones stand nowhere in the ledger.
const REFERENCE_MAX: usize = 255;

/// How many errors are told of one file.
const ERRORS_MAX: usize = 100;

/// Reads a statement.
///
/// # Errors
///
/// 422 with what is wrong and where, up to a hundred errors.
pub fn read(format: StatementFormat, file: &[u8]) -> Result<Statement, ApiError> {
    let Ok(text) = std::str::from_utf8(file) else {
        let error =
            FieldError::explained("", FieldCode::InvalidFormat, "The file is not UTF-8; save it as UTF-8.");
        return Err(ApiError::field(error));
    };
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut errors = Errors::default();
    let statement = match format {
        StatementFormat::Csv => csv::read(text, &mut errors),
        StatementFormat::Camt053 => camt053::read(text, &mut errors),
    };
    match statement {
        Some(statement) if errors.0.is_empty() => Ok(statement),
        _ => Err(ApiError::InvalidRequest(errors.0)),
    }
}

/// What is wrong with a file.
#[derive(Default)]
struct Errors(Vec<FieldError>);

impl Errors {
    /// Notes an error, with the sentence of its code.
    fn note(&mut self, pointer: String, code: FieldCode) {
        self.note_explained(pointer, code, code.detail());
    }

    /// Notes an error, with a sentence of its own.
    fn note_explained(&mut self, pointer: String, code: FieldCode, detail: &'static str) {
        if self.0.len() < ERRORS_MAX {
            self.0.push(FieldError::explained(pointer, code, detail));
        }
    }

    /// Notes why a value could not be read, at its place.
    fn check<T>(&mut self, read: Result<T, Wrong>, place: impl FnOnce() -> String) -> Option<T> {
        read.map_err(|(code, detail)| self.note_explained(place(), code, detail)).ok()
    }

    /// Tells whether a statement may have one more line; notes it if not.
    fn has_room(&mut self, lines: &[Line]) -> bool {
        let has_room = lines.len() < LINES_MAX;
        if !has_room {
            let detail = "A statement may have 5000 lines; split the file by days.";
            self.note_explained(String::new(), FieldCode::TooLong, detail);
        }
        has_room
    }
}

/// Why a value could not be read: a code, and what to do about it.
type Wrong = (FieldCode, &'static str);

/// Reads a day.
fn day(text: &str) -> Result<Day, Wrong> {
    text.parse().map_err(|_| (FieldCode::InvalidFormat, "This is no day; write it as 2026-11-24."))
}

/// Checks a reference: it is kept, so it holds no card number.
fn reference(text: &str) -> Result<Option<String>, Wrong> {
    check_plain(text, 0, REFERENCE_MAX).map_err(|code| match code {
        FieldCode::SensitiveData => {
            (code, "This holds a card number, which is kept nowhere; take it out of the file.")
        }
        _ => (code, code.detail()),
    })?;
    Ok((!text.is_empty()).then(|| text.to_owned()))
}
