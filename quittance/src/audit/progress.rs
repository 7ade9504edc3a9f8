//! What is shown while an audit runs; on standard error, so that the report can be piped.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

/// Shows that tables are being read.
pub(super) fn of_tables(shown: bool) -> ProgressBar {
    if !shown {
        return ProgressBar::hidden();
    }
    let spinner = ProgressBar::new_spinner().with_message("reading the tables to compare");
    spinner.enable_steady_tick(Duration::from_millis(100));
    spinner
}

/// Shows how far the pass over the log is.
pub(super) fn of_events(head: u64, shown: bool) -> ProgressBar {
    if !shown {
        return ProgressBar::hidden();
    }
    let template = "{wide_bar} {human_pos}/{human_len} events, {per_sec}, {eta} left";
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(head).with_style(style)
}
