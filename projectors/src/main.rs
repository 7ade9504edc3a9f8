//! The `projectors` program.

fn main() -> std::process::ExitCode {
    projectors::program::main()
}
