//! The `projectors` program as the tests start and kill it.

fn main() -> std::process::ExitCode {
    projectors::program::main()
}
