//! The `command-api` program.

fn main() -> std::process::ExitCode {
    command_api::program::main()
}
