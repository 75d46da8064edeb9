//! What commands say on standard output.

use std::io::{self, Write as _};

use anyhow::Context as _;

/// Prints text as it is. A reader that has gone (`schism check … | head`) is no failure: the work goes on, and the exit
/// code still tells the verdict, where `print!` would panic. A full disk behind a redirection is one.
pub(crate) fn print(text: &str) -> anyhow::Result<()> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result.context("cannot write to standard output"),
    }
}

/// Prints a line.
pub(crate) fn print_line(text: &str) -> anyhow::Result<()> {
    print(&format!("{text}\n"))
}
