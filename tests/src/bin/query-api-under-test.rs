//! The `query-api` program as the tests start and kill it.

fn main() -> std::process::ExitCode {
    query_api::program::main()
}
