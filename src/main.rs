//! The command, which is in the library behind the feature `cli`.

fn main() -> std::process::ExitCode {
    hivewright::main()
}
