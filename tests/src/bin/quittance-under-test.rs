//! The `quittance` program as the tests start and kill it: Cargo tells a test the path of its own
//! package's programs only.

use std::process::ExitCode;

fn main() -> ExitCode {
    quittance::cli::main()
}
