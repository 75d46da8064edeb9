//! What the checkers cost: `scripts/bench-checker [ROW…] [--seed N]`.
//!
//! Each history is generated from a seed: operations that take effect at a moment between their ends, so that it is valid
//! by construction, or has one stale read besides. Each is then judged by `schism check` in a process of its own, whose
//! CPU seconds and peak memory, reading included, are what the table says.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command of its own, whose output this is")]

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
    process::{Command, ExitCode, Stdio},
    time::Instant,
};

use anyhow::Context as _;
use nix::sys::{
    resource::{UsageWho, getrusage},
    time::TimeVal,
};
use schism_checker::history::{Format, ReadOptions, read_any};
use schism_seed::{Seed, Stream};

/// A history of registers.
#[derive(Debug, Clone, Copy)]
struct Registers {
    ops: u64,
    clients: usize,
    keys: usize,
    /// Writes take new values; else one of so many.
    values: Option<u64>,
    /// Compare-and-set as well as reads and writes.
    has_cas: bool,
    info_percent: u64,
    /// One read in the middle returns what had been overwritten before it began.
    stale: bool,
}

struct Row {
    name: &'static str,
    registers: Registers,
    /// What the verdict must be, where construction tells.
    expected: Option<i32>,
    bar: &'static str,
}

const UNIQUE: Registers =
    Registers { ops: 1_000_000, clients: 10, keys: 1_000, values: None, has_cas: false, info_percent: 0, stale: false };
const MANY: Registers = Registers { clients: 30, keys: 100, values: Some(5), has_cas: true, info_percent: 1, ..UNIQUE };
const ONE_KEY: Registers = Registers { clients: 50, keys: 1, info_percent: 5, ..UNIQUE };
const FIVE: Registers =
    Registers { ops: 10_000, clients: 20, keys: 1, values: Some(5), has_cas: true, info_percent: 0, stale: false };
const FIVE_INFO: Registers = Registers { clients: 10, info_percent: 1, ..FIVE };

const ROWS: &[Row] = &[
    Row { name: "unique-1m", registers: UNIQUE, expected: Some(0), bar: "1.2 s, 300 MB" },
    Row {
        name: "unique-1m-stale",
        registers: Registers { stale: true, ..UNIQUE },
        expected: Some(1),
        bar: "1.2 s, 300 MB",
    },
    Row { name: "cas-1m", registers: MANY, expected: Some(0), bar: "2 s, 400 MB" },
    Row { name: "cas-1m-stale", registers: Registers { stale: true, ..MANY }, expected: None, bar: "2 s, 400 MB" },
    Row { name: "one-key-1m", registers: ONE_KEY, expected: Some(0), bar: "1.5 s, 300 MB" },
    Row {
        name: "one-key-1m-stale",
        registers: Registers { stale: true, ..ONE_KEY },
        expected: Some(1),
        bar: "1.5 s, 300 MB",
    },
    Row { name: "five-values-10k", registers: FIVE, expected: Some(0), bar: "5 s" },
    Row { name: "five-values-10k-stale", registers: Registers { stale: true, ..FIVE }, expected: Some(1), bar: "5 s" },
    Row { name: "five-values-10k-info", registers: FIVE_INFO, expected: Some(0), bar: "10 s, 1 GB" },
    Row {
        name: "five-values-10k-info-stale",
        registers: Registers { stale: true, ..FIVE_INFO },
        expected: None,
        bar: "10 s, 1 GB",
    },
];

/// What a client has in flight.
#[derive(Debug, Clone, Copy)]
struct InFlight {
    f: &'static str,
    key: usize,
    old: u64,
    new: u64,
    invoked: u64,
    /// What it answers, once it took effect; a cas that fails answers nothing.
    effect: Option<Option<u64>>,
}

/// What is known of a value of a key, by the indexes of events.
#[derive(Debug, Clone, Copy)]
struct Past {
    /// Its last producer returned.
    returned: u64,
    /// Since then an operation that leaves another value was invoked and has returned: from here on a read that begins
    /// cannot return it. [`u64::MAX`]: not yet.
    gone: u64,
}

impl Registers {
    /// Writes the history as Jepsen's EDN.
    fn write(&self, seed: u64, out: &mut impl Write) -> io::Result<()> {
        let mut stream = Seed::new(seed).stream("bench-checker");
        // 0 is nil.
        let mut state = vec![0_u64; self.keys];
        // By key, the values that were produced, the last ones only where they are new each time.
        let mut past: Vec<BTreeMap<u64, Past>> = vec![BTreeMap::new(); self.keys];
        let mut clients: Vec<(u64, Option<InFlight>)> =
            (0..self.clients as u64).map(|process| (process, None)).collect();
        let (mut index, mut begun, mut ended, mut written) = (0_u64, 0, 0, 0);
        let mut stale = self.stale;
        while ended < self.ops {
            let at = stream.below(self.clients as u64) as usize;
            let process = clients[at].0;
            match &mut clients[at].1 {
                None if begun == self.ops => {}
                None => {
                    begun += 1;
                    let op = self.invoke(&mut stream, &mut written, &state, index);
                    event(out, index, process, "invoke", &op, None)?;
                    index += 1;
                    clients[at].1 = Some(op);
                }
                Some(op) if op.effect.is_none() => {
                    let of = &mut state[op.key];
                    let before = *of;
                    op.effect = Some(match op.f {
                        "read" => Some(before),
                        "cas" if before != op.old => None,
                        _ => {
                            *of = op.new;
                            Some(op.new)
                        }
                    });
                }
                Some(op) => {
                    let op = *op;
                    ended += 1;
                    clients[at].1 = None;
                    if stream.below(100) < self.info_percent {
                        event(out, index, process, "info", &op, None)?;
                        clients[at].0 += self.clients as u64;
                    } else {
                        let mut answer = op.effect.flatten();
                        let can_be_stale = stale && op.f == "read" && ended > self.ops / 2;
                        if can_be_stale && let Some(value) = stale_value(&op, &past[op.key], &clients) {
                            (answer, stale) = (Some(value), false);
                        }
                        let kind = if answer.is_some() { "ok" } else { "fail" };
                        event(out, index, process, kind, &op, answer)?;
                        if op.f != "read" && answer.is_some() {
                            let past = &mut past[op.key];
                            let mut others = past.iter_mut().filter(|(value, _)| **value != op.new);
                            others.by_ref().filter(|(_, past)| past.returned < op.invoked).for_each(|(_, past)| {
                                past.gone = past.gone.min(index);
                            });
                            past.insert(op.new, Past { returned: index, gone: u64::MAX });
                            if past.len() > PAST_MAX {
                                past.pop_first();
                            }
                        }
                    }
                    index += 1;
                }
            }
        }
        assert!(!stale, "no read could be made stale");
        out.flush()
    }

    fn invoke(&self, stream: &mut Stream, written: &mut u64, state: &[u64], invoked: u64) -> InFlight {
        let key = stream.below(self.keys as u64) as usize;
        let f = ["read", "write", "cas"][stream.below(if self.has_cas { 3 } else { 2 }) as usize];
        *written += u64::from(f != "read");
        let new = self.values.map_or(*written, |values| 1 + stream.below(values));
        let old = self.values.map_or(state[key], |values| 1 + stream.below(values));
        InFlight { f, key, old, new, invoked, effect: None }
    }
}

/// Values of a key that are remembered: enough for all that are in flight at once.
const PAST_MAX: usize = 200;

/// What the read that returns now cannot return lawfully: gone when it began, and produced by nothing in flight. (An
/// indeterminate operation may yet have produced it.)
fn stale_value(read: &InFlight, past: &BTreeMap<u64, Past>, clients: &[(u64, Option<InFlight>)]) -> Option<u64> {
    let in_flight = |value: u64| {
        let mut ops = clients.iter().filter_map(|(_, op)| op.as_ref());
        ops.any(|op| op.f != "read" && op.key == read.key && op.new == value)
    };
    past.iter().find(|(value, past)| past.gone < read.invoked && !in_flight(**value)).map(|(value, _)| *value)
}

fn event(
    out: &mut impl Write,
    index: u64,
    process: u64,
    kind: &str,
    op: &InFlight,
    answer: Option<u64>,
) -> io::Result<()> {
    let InFlight { f, key, old, new, .. } = op;
    write!(
        out,
        "{{:index {index}, :time {}, :type :{kind}, :process {process}, :f :{f}, :value [{key} ",
        index * 1000
    )?;
    match (*f, answer) {
        ("read", None | Some(0)) => write!(out, "nil")?,
        ("read", Some(value)) => write!(out, "{value}")?,
        ("write", _) => write!(out, "{new}")?,
        _ => write!(out, "[{old} {new}]")?,
    }
    writeln!(out, "]}}")
}

/// What a command and its children used.
struct Used {
    code: i32,
    cpu_s: f64,
    peak_mb: f64,
    wall_s: f64,
}

/// Runs it in a process whose only child it is, so that what that process' children used is what it used.
fn measure(command: &[&str]) -> anyhow::Result<Used> {
    let output =
        Command::new(std::env::current_exe()?).arg("measure").args(command).stderr(Stdio::inherit()).output()?;
    let text = String::from_utf8(output.stdout)?;
    let figures: Vec<f64> = text.split_whitespace().map(str::parse).collect::<Result<_, _>>().context(text.clone())?;
    let [code, cpu_s, peak_mb, wall_s] = figures[..] else { anyhow::bail!("no figures: {text}") };
    Ok(Used { code: code as i32, cpu_s, peak_mb, wall_s })
}

/// The other side of [`measure`].
fn measured(command: &[String]) -> anyhow::Result<()> {
    let started = Instant::now();
    let status = Command::new(&command[0]).args(&command[1..]).stdout(Stdio::null()).status()?;
    let wall_s = started.elapsed().as_secs_f64();
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN)?;
    let seconds = |time: TimeVal| time.tv_sec() as f64 + time.tv_usec() as f64 / 1e6;
    let cpu_s = seconds(usage.user_time()) + seconds(usage.system_time());
    // Linux counts in KiB.
    let peak_mb = usage.max_rss() as f64 * 1024.0 / 1e6;
    println!("{} {cpu_s} {peak_mb} {wall_s}", status.code().unwrap_or(-1));
    Ok(())
}

fn file_of(row: &Row, folder: &Path, seed: u64) -> anyhow::Result<PathBuf> {
    let path = folder.join(format!("{}.edn", row.name));
    row.registers.write(seed, &mut BufWriter::with_capacity(1 << 20, File::create(&path)?))?;
    Ok(path)
}

fn bench(wanted: &[String], seed: u64) -> anyhow::Result<bool> {
    let folder = std::env::temp_dir().join(format!("schism-bench-checker-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let result = bench_in(wanted, seed, &folder);
    let _ = std::fs::remove_dir_all(&folder);
    result
}

fn bench_in(wanted: &[String], seed: u64, folder: &Path) -> anyhow::Result<bool> {
    let own = std::env::current_exe()?;
    let mut good = true;
    println!("| history | MB | verdict | CPU s | wall s | peak MB | bar |");
    println!("|---|---|---|---|---|---|---|");
    for row in ROWS.iter().filter(|row| wanted.is_empty() || wanted.iter().any(|name| name == row.name)) {
        let path = file_of(row, folder, seed)?;
        let text = path.to_string_lossy();
        let mb = path.metadata()?.len() as f64 / 1e6;
        let used = measure(&["target/release/schism", "check", "--model", "cas-register", "--json", &text])?;
        let verdict = match used.code {
            0 => "valid",
            1 => "invalid",
            2 => "unknown",
            _ => "FAILED",
        };
        let wrong = row.expected.map_or(used.code > 1, |expected| expected != used.code);
        good &= !wrong;
        let mark = if wrong { " (WRONG)" } else { "" };
        let Used { cpu_s, wall_s, peak_mb, .. } = used;
        println!(
            "| {} | {mb:.0} | {verdict}{mark} | {cpu_s:.2} | {wall_s:.2} | {peak_mb:.0} | {} |",
            row.name, row.bar
        );
        if row.name == "unique-1m" {
            let used = measure(&[&own.to_string_lossy(), "read", &text])?;
            println!(
                "| EDN reading alone, {:.0} MB/s of CPU time | {mb:.0} | | {:.2} | {:.2} | {:.0} | 200 MB/s |",
                mb / used.cpu_s,
                used.cpu_s,
                used.wall_s,
                used.peak_mb
            );
        }
        std::fs::remove_file(&path)?;
    }
    Ok(good)
}

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let done = match args.split_first() {
        Some((first, command)) if first == "measure" => measured(command).map(|()| true),
        Some((first, [path])) if first == "read" => {
            let options = ReadOptions { workload: Some("cas-register".into()) };
            File::open(path).map_err(Into::into).and_then(|file| {
                read_any(file, Some(Format::Edn), &options).map(|loaded| !loaded.history.is_empty()).map_err(Into::into)
            })
        }
        _ => {
            let mut wanted = args;
            let mut seed = 1;
            if let Some(at) = wanted.iter().position(|arg| arg == "--seed") {
                let Some(Ok(given)) = wanted.get(at + 1).map(|seed| seed.parse()) else {
                    eprintln!("bench-checker: --seed takes a number");
                    return ExitCode::from(254);
                };
                seed = given;
                wanted.drain(at..at + 2);
            }
            if let Some(unknown) = wanted.iter().find(|name| !ROWS.iter().any(|row| row.name == name.as_str())) {
                let names: Vec<&str> = ROWS.iter().map(|row| row.name).collect();
                eprintln!("bench-checker: there is no row {unknown}; rows: {}", names.join(", "));
                return ExitCode::from(254);
            }
            bench(&wanted, seed)
        }
    };
    match done {
        Ok(good) => ExitCode::from(u8::from(!good)),
        Err(error) => {
            eprintln!("bench-checker: {error:#}");
            ExitCode::from(255)
        }
    }
}
