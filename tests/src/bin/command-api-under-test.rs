//! The `command-api` program as the tests start and kill it.

fn main() -> std::process::ExitCode {
    command_api::program::main()
}
