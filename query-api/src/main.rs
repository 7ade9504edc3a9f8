//! The `query-api` program.

fn main() -> std::process::ExitCode {
    query_api::program::main()
}
