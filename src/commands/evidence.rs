//! `schism check --directory DIR`: what makes a history invalid, in words and pictures.

use std::{
    io::Write as _,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use schism_checker::{Check, Details, history::History};

use crate::{
    exit::usage,
    report::{DrawingFormat, anomaly_files, contradiction_page, write_atomically},
};

/// That pictures can be written there, before anything is judged.
pub(crate) fn require(directory: &Path) -> anyhow::Result<()> {
    let cannot = |error| usage(format!("--directory: cannot create {}: {error}", directory.display()));
    std::fs::create_dir_all(directory).map_err(cannot)
}

/// Writes it for one of the files judged; gives where. `None`: there is nothing to show.
pub(crate) fn write(
    directory: &Path,
    files: &[PathBuf],
    file: &Path,
    history: &History,
    checks: &[Check],
    format: DrawingFormat,
) -> anyhow::Result<Option<PathBuf>> {
    let mut evidence = Vec::new();
    for check in checks {
        match &check.details {
            Details::Linearizability(result) => {
                let page = contradiction_page(history, result);
                evidence.extend(page.map(|page| ("linearizability.html".to_owned(), page)));
            }
            Details::Isolation(result) => evidence.extend(anomaly_files(result, format)?),
            _ => {}
        }
    }
    let folder = std::path::absolute(directory.join(folder(files, file))).context("no current folder")?;
    for (name, content) in &evidence {
        write_atomically(&folder.join(name), |out| Ok(out.write_all(content.as_bytes())?))?;
    }
    Ok(match &evidence[..] {
        [] => None,
        [(name, _)] => Some(folder.join(name)),
        _ => Some(folder),
    })
}

/// The file's name without its ending; the second file of a name has `-2` behind it.
fn folder(files: &[PathBuf], file: &Path) -> String {
    let stem = |path: &Path| match path.file_stem() {
        Some(stem) if path != Path::new("-") => stem.to_string_lossy().into_owned(),
        _ => "standard-input".to_owned(),
    };
    let own = stem(file);
    let earlier = files.iter().take_while(|other| *other != file).filter(|other| stem(other) == own).count();
    if earlier == 0 { own } else { format!("{own}-{}", earlier + 1) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_one_name_have_folders_of_their_own() {
        let files: Vec<PathBuf> = ["a/x.edn", "b/x.edn", "-", "x", ".."].map(PathBuf::from).into();
        let folders: Vec<String> = files.iter().map(|file| folder(&files, file)).collect();
        assert_eq!(folders, ["x", "x-2", "standard-input", "x-3", "standard-input-2"]);
    }
}
