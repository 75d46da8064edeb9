//! Where programs of the system are looked for.

use std::path::PathBuf;
use std::process::Command;

/// Directories for system administrators hold servers and `nft`, and are not on everyone's path: Debian gives them to
/// root only, and user namespaces are there for everybody else.
const EXTRA: [&str; 4] = ["/usr/local/sbin", "/usr/sbin", "/usr/local/bin", "/usr/bin"];

/// Files of this name, in the order of the user's path, then in the usual directories.
pub(crate) fn candidates(name: &str) -> impl Iterator<Item = PathBuf> + use<> {
    let name = name.to_owned();
    let path = std::env::var_os("PATH").unwrap_or_default();
    let directories: Vec<PathBuf> = std::env::split_paths(&path).chain(EXTRA.map(PathBuf::from)).collect();
    directories.into_iter().map(move |directory| directory.join(&name)).filter(|path| path.is_file())
}

/// A command of the system; by its bare name if it is nowhere, so that running it says that it is not there.
pub(crate) fn command(name: &str) -> Command {
    Command::new(candidates(name).next().unwrap_or_else(|| PathBuf::from(name)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_programs_and_names_those_that_are_missing() {
        assert!(candidates("sh").next().is_some_and(|path| path.is_absolute()));
        let missing = command("schism-no-such-program").output().unwrap_err();
        assert_eq!(missing.kind(), std::io::ErrorKind::NotFound);
    }
}
