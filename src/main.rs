//! The command: parse, dispatch, print one error chain, exit with a code that means something.

mod cli;

fn main() -> std::process::ExitCode {
    cli::main()
}
