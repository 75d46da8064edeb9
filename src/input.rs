//! History files as the user names them: packed or not, or standard input.

use std::{
    fs::File,
    io::{self, BufRead as _, BufReader, Read},
    path::{Path, PathBuf},
};

use schism_checker::{
    WORKLOADS,
    history::{Format, Loaded, Problems, ReadOptions},
};

use crate::exit::usage;

/// The format of this name.
pub(crate) fn format_named(name: &str) -> anyhow::Result<Format> {
    let names: Vec<&str> = Format::NAMES.iter().map(|(name, _)| *name).collect();
    crate::plan::choose("format", name, &names)?;
    let found = Format::NAMES.iter().find(|(known, _)| *known == name);
    found.map(|(_, format)| *format).ok_or_else(|| usage(format!("no format {name}")))
}

/// The file itself, or the history of a result folder.
pub(crate) fn history_path(path: &Path) -> PathBuf {
    if path.is_dir() { path.join("history.jsonl") } else { path.to_path_buf() }
}

/// One of the checker's readers.
type Reader = fn(Box<dyn Read>, Option<Format>, &ReadOptions) -> Result<Loaded, Problems>;

/// Reads a history file. `format_flag`: the option that overrides the detected format.
pub(crate) fn read_history(
    path: &Path,
    model: Option<&str>,
    format: Option<Format>,
    format_flag: &str,
    reader: Reader,
) -> anyhow::Result<Loaded> {
    let content = open(path).map_err(|error| usage(format!("cannot read {}: {error}", path.display())))?;
    reader(content, format, &ReadOptions { workload: model.map(str::to_owned) }).map_err(|problems| {
        // The reader knows no flags.
        let text = problems.to_string();
        let way_out = if text.contains("no header") && model.is_none() {
            format!("\nSay what the history is of: --model {}", WORKLOADS.join("|"))
        } else if text.contains("begins like no history") {
            format!("\nIf it is one of them all the same, say which with {format_flag}")
        } else {
            match model.map(|model| models_that_fit(path, model, format, reader)).as_deref() {
                None | Some([]) => String::new(),
                Some(models) => format!("\nAs it begins, it could be of --model {}", models.join("|")),
            }
        };
        usage(format!("{} is not a history that can be read:\n{text}{way_out}", path.display()))
    })
}

/// Other models than the one given, of which a file could be that is none of that one's. Nothing is said of standard input,
/// which cannot be read again, nor of a file that begins well.
fn models_that_fit(path: &Path, given: &str, format: Option<Format>, reader: Reader) -> Vec<&'static str> {
    /// Some hundred operations tell.
    const BYTES_MAX: u64 = 100_000;
    let mut beginning = Vec::new();
    if path == Path::new("-") || open(path).and_then(|file| file.take(BYTES_MAX).read_to_end(&mut beginning)).is_err() {
        return Vec::new();
    }
    let fits = |model: &str| {
        let options = ReadOptions { workload: Some(model.to_owned()) };
        reader(Box::new(io::Cursor::new(beginning.clone())), format, &options).is_ok()
    };
    if fits(given) { Vec::new() } else { WORKLOADS.iter().copied().filter(|model| fits(model)).collect() }
}

/// The content of a file, or of standard input for `-`, unpacked if it is gzip or zstd.
fn open(path: &Path) -> io::Result<Box<dyn Read>> {
    let packed: Box<dyn Read> =
        if path == Path::new("-") { Box::new(io::stdin()) } else { Box::new(File::open(path)?) };
    let mut packed = BufReader::with_capacity(1 << 20, packed);
    Ok(match packed.fill_buf()? {
        [0x1f, 0x8b, ..] => Box::new(flate2::bufread::MultiGzDecoder::new(packed)),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => Box::new(zstd::Decoder::with_buffer(packed)?),
        _ => Box::new(packed),
    })
}
