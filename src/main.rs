//! `postrider`: the command line over the library of the same name.

use std::process::ExitCode;

/// What one thread allocates another frees, from socket to log to store: the system's allocator keeps much of that.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    if let Err(error) = postrider_storage::plant::set_from_environment() {
        eprintln!("postrider: {error}");
        return ExitCode::FAILURE;
    }
    match postrider::cli::run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            if !failure.text.is_empty() {
                eprintln!("postrider: {failure}");
            }
            ExitCode::from(failure.code)
        }
    }
}
