//! `schism convert`: a recorded history in another format.

use std::{
    fs::File,
    io::{self, BufWriter, Write},
};

use schism_checker::{
    WORKLOADS,
    history::{ConvertError, Target, convert as write_as, read_any_for_conversion},
};

use crate::{cli::ConvertArgs, exit, exit::usage, input};

/// Reads the whole history first: a malformed one, or one that the format cannot express, writes nothing.
pub(crate) fn convert(args: &ConvertArgs) -> anyhow::Result<u8> {
    let targets: Vec<&str> = Target::NAMES.iter().map(|(name, _)| *name).collect();
    crate::plan::choose("format", &args.to, &targets)?;
    let target = Target::NAMES.iter().find(|(name, _)| *name == args.to).map(|(_, target)| *target);
    let target = target.ok_or_else(|| usage(format!("no format {}", args.to)))?;
    if let Some(model) = &args.model {
        crate::plan::choose("model", model, WORKLOADS)?;
    }
    let format = args.from.as_deref().map(input::format_named).transpose()?;
    let path = input::history_path(&args.file);
    let loaded = input::read_history(&path, args.model.as_deref(), format, "--from", read_any_for_conversion)?;
    // What cannot be expressed is found before the first byte is written, and so before an old file is lost.
    let mut out = Output { path: args.output.as_deref().filter(|path| *path != "-"), file: None };
    let left_out = write_as(&loaded.history, target, &mut out).map_err(|error| match error {
        ConvertError::Inexpressible(why) => {
            usage(format!("{} cannot be written as {}: {why}", path.display(), args.to))
        }
        ConvertError::Io(error) => anyhow::Error::new(error)
            .context(format!("cannot write {}", args.output.as_deref().unwrap_or("standard output"))),
    })?;
    say(loaded.warnings.into_iter().map(|warning| format!("warning: {warning}")).chain(left_out));
    Ok(exit::VALID)
}

/// Standard output, or a file that comes to be with the first byte.
struct Output<'a> {
    path: Option<&'a str>,
    file: Option<Box<dyn Write>>,
}

impl Output<'_> {
    fn opened(&mut self) -> io::Result<&mut Box<dyn Write>> {
        if self.file.is_none() {
            self.file = Some(match self.path {
                Some(path) => Box::new(BufWriter::new(File::create(path)?)),
                None => Box::new(BufWriter::new(io::stdout())),
            });
        }
        self.file.as_mut().ok_or_else(|| io::Error::other("no output"))
    }
}

impl Write for Output<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.opened()?.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.opened()?.flush()
    }
}

#[expect(clippy::print_stderr, reason = "standard output may be the history")]
fn say(lines: impl Iterator<Item = String>) {
    for line in lines {
        eprintln!("schism: {line}");
    }
}
