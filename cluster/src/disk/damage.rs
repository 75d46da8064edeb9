//! Damage to files while nobody has them open: flipped bits, a missing end, an earlier state.
//!
//! What is replaced is kept, in a folder of the fault beside the node's disk. A server that notices the damage and
//! refuses to start has done its duty; it gets its files back, so that the run can go on.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, UNIX_EPOCH};

use schism_seed::Seed;
use serde::{Deserialize, Serialize};

use super::files::{Files, copy, newest};
use super::{data, failed};
use crate::cluster::NodeState;
use crate::error::{Doing, StepError};
use crate::info::{NodeInfo, ProcessSpec, SandboxInfo};
use crate::{process, step};

/// A server that finds its files damaged says so and ends within this, or later, when it has begun to serve.
const REFUSED_WITHIN: Duration = Duration::from_secs(2);
const POLL: Duration = Duration::from_millis(20);
/// Blocks without a single bit set are space that was never written: a flip there damages nothing.
const BLOCK: usize = 4096;
/// How many positions are told; all of them are in the fault's folder.
const TOLD_MAX: usize = 8;

/// What is done to a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "damage", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Damage {
    /// Bits are turned over, anywhere in what was written.
    Flip {
        /// How many.
        count: u32,
    },
    /// The end of what was written is cut off.
    Truncate {
        /// How much, in bytes.
        bytes: u64,
    },
}

/// A fault's folder on a node.
struct Folder(PathBuf);

impl Folder {
    fn of(node: &NodeInfo, fault: u32) -> Self {
        Self(node.directory.join("faults").join(fault.to_string()))
    }

    /// The files as they were before the damage.
    fn kept(&self) -> PathBuf {
        self.0.join("kept")
    }

    /// The files as they were at the fault's beginning.
    fn snapshot(&self) -> PathBuf {
        self.0.join("snapshot")
    }

    fn has(&self, mark: &str) -> bool {
        self.0.join(mark).exists()
    }

    fn mark(&self, mark: &str, text: &str) -> io::Result<()> {
        fs::create_dir_all(&self.0)?;
        // Whole or not at all: whoever repeats this step believes it.
        let partial = self.0.join(format!("{mark}.partial"));
        fs::write(&partial, text)?;
        fs::rename(partial, self.0.join(mark))
    }

    fn note(&self, text: &str) -> io::Result<()> {
        fs::create_dir_all(&self.0)?;
        let mut file = OpenOptions::new().create(true).append(true).open(self.0.join("notes"))?;
        writeln!(file, "{text}")
    }
}

/// What there is to tell of a fault on this node since this was asked last.
pub(crate) fn take_notes(node: &NodeInfo, fault: u32) -> Vec<String> {
    let path = Folder::of(node, fault).0.join("notes");
    let text = fs::read_to_string(&path).unwrap_or_default();
    // What cannot be removed is told twice.
    let _ = fs::remove_file(&path);
    text.lines().map(|line| format!("{}: {line}", node.name)).collect()
}

fn nobody_runs(node: &NodeInfo) -> Result<(), StepError> {
    match process::state(node).doing(|| format!("look at {}", node.name))? {
        NodeState::Dead => Ok(()),
        _ => Err(failed(node, "its servers run: their files are not to be touched")),
    }
}

/// Does it to a stopped node's files. Done twice it is done once.
pub(super) fn damage(node: &NodeInfo, fault: u32, text: &str, how: &Damage, seed: u64) -> Result<(), StepError> {
    let folder = Folder::of(node, fault);
    if folder.has("done") {
        return Ok(());
    }
    nobody_runs(node)?;
    let what = || format!("damage the files of {}", node.name);
    let files = Files::parse(text).map_err(|problem| failed(node, problem))?;
    let data = data(node);
    let mut chosen = files.select(&data).doing(what)?;
    if files.newest || matches!(how, Damage::Truncate { .. }) {
        chosen = newest(&data, &chosen).doing(what)?.into_iter().collect();
    }
    if chosen.is_empty() {
        return Err(failed(node, format!("it has no file {text:?} (Redis keeps a log with --set appendfsync=…)")));
    }
    if folder.has("kept-whole") {
        // Interrupted half way: from the beginning, or a bit is turned over twice.
        put_back(node, &folder)?;
    } else {
        copy(&data, &folder.kept(), &chosen).doing(what)?;
        folder.mark("kept-whole", "").doing(what)?;
    }
    let told = match how {
        Damage::Flip { count } => flip(&data, &chosen, *count, seed),
        Damage::Truncate { bytes } => truncate(&data, &chosen, *bytes),
    };
    let told = told.doing(what)?.map_err(|problem| failed(node, problem))?;
    folder.mark("done", &told.join("\n")).doing(what)?;
    let more = told.len().saturating_sub(TOLD_MAX);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    Ok(folder.note(&format!("{}{more}", told[..told.len().min(TOLD_MAX)].join(", "))).doing(what)?)
}

type Told = Result<Vec<String>, String>;

fn flip(data: &Path, files: &BTreeSet<PathBuf>, count: u32, seed: u64) -> io::Result<Told> {
    let mut blocks = Vec::new();
    for file in files {
        let content = fs::read(data.join(file))?;
        let written = content.chunks(BLOCK).enumerate().filter(|(_, block)| block.iter().any(|byte| *byte != 0));
        blocks.extend(written.map(|(number, block)| (file, number * BLOCK, block.len())));
    }
    let bits: usize = blocks.iter().map(|(_, _, length)| length * 8).sum();
    // Distinct positions are drawn one by one: only while they are few among many does that end soon.
    if bits / 2 < count as usize {
        return Ok(Err(format!("{count} bits are too many for files of {} bytes", bits / 8)));
    }
    let mut stream = Seed::new(seed).stream("damage");
    let mut positions = BTreeSet::new();
    while positions.len() < count as usize {
        let (file, start, length) = blocks[stream.index(blocks.len())];
        positions.insert((file, start + stream.index(length), stream.index(8)));
    }
    for (file, byte, bit) in &positions {
        let opened = File::options().read(true).write(true).open(data.join(file))?;
        let mut value = [0];
        opened.read_exact_at(&mut value, *byte as u64)?;
        opened.write_all_at(&[value[0] ^ (1 << bit)], *byte as u64)?;
    }
    let told = |(file, byte, bit): &(&PathBuf, usize, usize)| format!("{} byte {byte} bit {bit}", file.display());
    Ok(Ok(positions.iter().map(told).collect()))
}

fn truncate(data: &Path, files: &BTreeSet<PathBuf>, bytes: u64) -> io::Result<Told> {
    let mut told = Vec::new();
    for file in files {
        let content = fs::read(data.join(file))?;
        // A log that is made at its full size beforehand ends where zeroes begin.
        let end = content.iter().rposition(|byte| *byte != 0).map_or(0, |last| last as u64 + 1);
        let Some(length) = end.checked_sub(bytes) else {
            return Ok(Err(format!("{} has only {end} bytes", file.display())));
        };
        File::options().write(true).open(data.join(file))?.set_len(length)?;
        told.push(format!("{} cut from {end} to {length} bytes", file.display()));
    }
    Ok(Ok(told))
}

/// Copies files as they are at one moment: the node's processes are stopped meanwhile, as by a storage system's
/// snapshot, for a few hundredths of a second.
pub(super) fn snapshot(node: &NodeInfo, fault: u32, text: &str) -> Result<(), StepError> {
    let folder = Folder::of(node, fault);
    if folder.has("taken") {
        return Ok(());
    }
    let what = || format!("copy the files of {}", node.name);
    // Whoever froze or killed it before wants it to stay so.
    let runs = matches!(process::state(node).doing(what)?, NodeState::Running { .. });
    if runs {
        process::freeze(node)?;
    }
    let copied = copy_matching(node, text, &folder.snapshot());
    if runs {
        process::thaw(node)?;
    }
    copied?;
    folder.mark("files", text).doing(what)?;
    Ok(folder.mark("taken", "").doing(what)?)
}

fn copy_matching(node: &NodeInfo, text: &str, to: &Path) -> Result<usize, StepError> {
    let what = || format!("copy the files of {}", node.name);
    let files = Files::parse(text).map_err(|problem| failed(node, problem))?;
    let chosen = files.select(&data(node)).doing(what)?;
    if chosen.is_empty() {
        return Err(failed(node, format!("it has no file {text:?}")));
    }
    // What an interrupted attempt left would be mixed with it.
    if to.exists() {
        fs::remove_dir_all(to).doing(what)?;
    }
    copy(&data(node), to, &chosen).doing(what)?;
    Ok(chosen.len())
}

/// Puts a stopped node's files back to the snapshot.
pub(super) fn restore(node: &NodeInfo, fault: u32) -> Result<(), StepError> {
    let folder = Folder::of(node, fault);
    if folder.has("done") {
        return Ok(());
    }
    nobody_runs(node)?;
    let what = || format!("restore the files of {}", node.name);
    let text = fs::read_to_string(folder.0.join("files")).doing(what)?;
    // Not again after an interruption: half of them are of the snapshot by then.
    if !folder.has("kept-whole") {
        copy_matching(node, &text, &folder.kept())?;
        folder.mark("kept-whole", "").doing(what)?;
    }
    let changed = impose(node, &text, &folder.snapshot())?;
    let age_ms = age_ms(&folder).doing(what)?;
    folder.mark("done", &age_ms.to_string()).doing(what)?;
    let seconds = age_ms as f64 / 1000.0;
    Ok(folder.note(&format!("set back by {seconds:.1} s; {changed} files differ from then")).doing(what)?)
}

fn age_ms(folder: &Folder) -> io::Result<u64> {
    let taken = fs::metadata(folder.0.join("taken"))?.modified()?;
    Ok(taken.elapsed().unwrap_or(Duration::ZERO).as_millis() as u64)
}

/// Makes the matching files those of the tree; tells how many were others.
fn impose(node: &NodeInfo, text: &str, tree: &Path) -> Result<usize, StepError> {
    let what = || format!("put back the files of {}", node.name);
    let files = Files::parse(text).map_err(|problem| failed(node, problem))?;
    let data = data(node);
    let (present, wanted) = (files.select(&data).doing(what)?, files.select(tree).doing(what)?);
    let mut changed = 0;
    for gone in present.difference(&wanted) {
        fs::remove_file(data.join(gone)).doing(what)?;
        changed += 1;
    }
    for file in &wanted {
        let same = present.contains(file)
            && fs::read(data.join(file)).doing(what)? == fs::read(tree.join(file)).doing(what)?;
        if !same {
            copy(tree, &data, &BTreeSet::from([file.clone()])).doing(what)?;
            changed += 1;
        }
    }
    Ok(changed)
}

/// Starts the servers of a damaged node.
pub(super) fn revive(info: &SandboxInfo, node: &NodeInfo) -> Result<(), StepError> {
    node.processes.iter().try_for_each(|process| step::start_process(info, node, process))
}

/// Watches whether they stay. If one ends, all get the original files back and are started with those. Asked again,
/// whoever waited for them to serve has waited in vain: the same.
pub(super) fn judge(info: &SandboxInfo, node: &NodeInfo, fault: u32) -> Result<(), StepError> {
    let folder = Folder::of(node, fault);
    if !folder.has("done") || folder.has("put-back") {
        return Ok(());
    }
    if folder.has("watched") {
        let name = node.processes.first().map_or("", |server| &server.name);
        let refused = ended(node).map_or(format!("{name} did not serve on"), refusal);
        return originals(info, node, &folder, &refused);
    }
    let until = Instant::now() + REFUSED_WITHIN;
    while Instant::now() < until {
        if let Some(server) = ended(node) {
            return originals(info, node, &folder, &refusal(server));
        }
        std::thread::sleep(POLL);
    }
    let what = || format!("note what became of {}", node.name);
    folder.mark("watched", "").doing(what)?;
    Ok(folder.note("the servers started on the damaged files").doing(what)?)
}

fn originals(info: &SandboxInfo, node: &NodeInfo, folder: &Folder, refused: &str) -> Result<(), StepError> {
    let what = || format!("note what became of {}", node.name);
    process::kill_all(node)?;
    put_back(node, folder)?;
    folder.mark("put-back", "").doing(what)?;
    folder.note(&format!("{refused} the damaged files; the original ones were put back")).doing(what)?;
    revive(info, node)
}

fn refusal(server: &ProcessSpec) -> String {
    format!("{} (last words: {}) refused", server.name, last_word(server))
}

fn ended(node: &NodeInfo) -> Option<&ProcessSpec> {
    node.processes.iter().find(|server| process::main_pid(node, &server.name).is_none())
}

fn put_back(node: &NodeInfo, folder: &Folder) -> Result<(), StepError> {
    let what = || format!("put back the files of {}", node.name);
    if folder.has("files") {
        let text = fs::read_to_string(folder.0.join("files")).doing(what)?;
        return impose(node, &text, &folder.kept()).map(drop);
    }
    let kept = Files::parse("all").and_then(|all| all.select(&folder.kept()).map_err(|error| error.to_string()));
    let kept = kept.map_err(|problem| failed(node, problem))?;
    Ok(copy(&folder.kept(), &data(node), &kept).doing(what)?)
}

/// The line of its log that says most.
fn last_word(server: &ProcessSpec) -> String {
    const WORDS: [&str; 5] = ["PANIC:", "FATAL:", "Bad file format", "# ", "ERROR"];
    let log = String::from_utf8_lossy(&fs::read(&server.log).unwrap_or_default()).into_owned();
    let lines: Vec<&str> = log.lines().rev().take(20).filter(|line| !line.trim().is_empty()).collect();
    let found = WORDS.iter().find_map(|word| lines.iter().find(|line| line.contains(word)));
    found.or(lines.first()).map_or("its log is empty", |line| line.trim()).to_owned()
}

/// Bits that differ from the kept files, for as long as nothing else has written to them.
pub(crate) fn flipped_bits(node: &NodeInfo, fault: u32) -> io::Result<f64> {
    let mut bits = 0;
    each_kept(node, fault, |before, now| {
        bits += before.iter().zip(now).map(|(one, other)| (one ^ other).count_ones()).sum::<u32>();
    })?;
    Ok(f64::from(bits))
}

/// Written bytes that are missing from the ends of the kept files.
pub(crate) fn missing_bytes(node: &NodeInfo, fault: u32) -> io::Result<f64> {
    let mut missing = 0;
    each_kept(node, fault, |before, now| {
        let end = before.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        missing += end.saturating_sub(now.len());
    })?;
    Ok(missing as f64)
}

fn each_kept(node: &NodeInfo, fault: u32, mut look: impl FnMut(&[u8], &[u8])) -> io::Result<()> {
    let kept = Folder::of(node, fault).kept();
    let files = Files::parse("all").map_err(io::Error::other)?.select(&kept)?;
    for file in files {
        look(&fs::read(kept.join(&file))?, &fs::read(data(node).join(&file))?);
    }
    Ok(())
}

/// How old the restored files were when they were restored, in seconds.
pub(crate) fn staleness_s(node: &NodeInfo, fault: u32) -> io::Result<f64> {
    let folder = Folder::of(node, fault);
    let at = |mark: &str| -> io::Result<f64> {
        let modified = fs::metadata(folder.0.join(mark))?.modified()?;
        Ok(modified.duration_since(UNIX_EPOCH).map_err(io::Error::other)?.as_secs_f64())
    };
    Ok(at("done")? - at("taken")?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(content: &[u8]) -> (tempfile::TempDir, BTreeSet<PathBuf>) {
        let data = tempfile::tempdir().unwrap();
        fs::write(data.path().join("f"), content).unwrap();
        (data, BTreeSet::from([PathBuf::from("f")]))
    }

    #[test]
    fn flips_hit_what_was_written_and_repeat_with_the_seed() {
        let mut content = vec![0; 100 * BLOCK];
        content[50 * BLOCK] = 1;
        let flipped = |seed| {
            let (data, files) = file(&content);
            let told = flip(data.path(), &files, 5, seed).unwrap().unwrap();
            let now = fs::read(data.path().join("f")).unwrap();
            let differ: Vec<usize> = (0..now.len()).filter(|&at| now[at] != content[at]).collect();
            assert_eq!(told.len(), 5);
            assert!(differ.iter().all(|&at| (50 * BLOCK..51 * BLOCK).contains(&at)), "{differ:?}");
            now
        };
        assert_eq!(flipped(1), flipped(1));
        assert_ne!(flipped(1), flipped(2));
        let (data, files) = file(&[1]);
        assert!(flip(data.path(), &files, 5, 1).unwrap().is_err());
    }

    #[test]
    fn the_end_is_where_zeroes_begin() {
        let (data, files) = file(&[[7; 10].as_slice(), &[0; 90]].concat());
        assert_eq!(truncate(data.path(), &files, 4).unwrap().unwrap(), ["f cut from 10 to 6 bytes"]);
        assert_eq!(fs::read(data.path().join("f")).unwrap(), [7; 6]);
        assert!(truncate(data.path(), &files, 7).unwrap().is_err());
    }
}
