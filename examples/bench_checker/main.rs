//! What the checkers cost: `scripts/bench-checker [ROW…] [--seed N]`; `write ROW` before it prints that row's history.
//!
//! Each history is generated from a seed, so that its verdict is known by construction: operations that take effect at a
//! moment between their ends, so that it is valid; or that with one stale read; or a component of known anomalies. Each is
//! then judged by `schism check` in a process of its own, whose CPU seconds and peak memory, reading included, are what
//! the table says.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command of its own, whose output this is")]

mod components;
mod registers;
mod transactions;

use std::{
    fs::File,
    io::{self, BufWriter, Read, Seek, Write},
    os::fd::AsRawFd,
    process::{Command, ExitCode, Stdio},
    time::Instant,
};

use anyhow::Context as _;
use nix::sys::{
    resource::{UsageWho, getrusage},
    statvfs::statvfs,
    time::TimeVal,
};
use schism_checker::history::{Format, ReadOptions, read_any};

use components::Component;
use registers::{FIVE, FIVE_INFO, MANY, ONE_KEY, Registers, UNIQUE};
use transactions::{Form, Transactions, Workload};

/// What a row's history is.
enum Kind {
    Registers(Registers),
    Transactions(Transactions),
    Component(Component),
}

struct Row {
    name: &'static str,
    kind: Kind,
    options: &'static [&'static str],
    /// How often one process judges the file: a short one many times, so that the start of the process does not count.
    times: u64,
    /// What the verdict must be, where construction tells.
    expected: Option<i32>,
    bar: &'static str,
}

const fn registers(name: &'static str, registers: Registers, expected: Option<i32>, bar: &'static str) -> Row {
    Row { name, kind: Kind::Registers(registers), options: &["--model", "cas-register"], times: 1, expected, bar }
}

const fn lists(name: &'static str, txns: u64, bar: &'static str) -> Row {
    let kind = Kind::Transactions(Transactions { workload: Workload::ListAppend, form: Form::Edn, txns });
    Row { name, kind, options: &["--model", "list-append"], times: 1, expected: Some(0), bar }
}

/// Transactions as schism writes them, a million or more altogether.
const fn growth(name: &'static str, txns: u64, times: u64, bar: &'static str) -> Row {
    let kind = Kind::Transactions(Transactions { workload: Workload::ListAppend, form: Form::Json, txns });
    Row { name, kind, options: &[], times, expected: Some(0), bar }
}

const fn rw_registers(name: &'static str, options: &'static [&'static str], bar: &'static str) -> Row {
    let kind = Kind::Transactions(Transactions { workload: Workload::RwRegister, form: Form::Edn, txns: 1_000_000 });
    Row { name, kind, options, times: 1, expected: Some(0), bar }
}

const fn component(name: &'static str, component: Component) -> Row {
    let options = &["--model", "list-append"];
    Row { name, kind: Kind::Component(component), options, times: 1, expected: Some(1), bar: "5 s" }
}

const ROWS: &[Row] = &[
    registers("unique-1m", UNIQUE, Some(0), "1.2 s, 300 MB"),
    registers("unique-1m-stale", Registers { stale: true, ..UNIQUE }, Some(1), "1.2 s, 300 MB"),
    registers("cas-1m", MANY, Some(0), "2 s, 400 MB"),
    registers("cas-1m-stale", Registers { stale: true, ..MANY }, None, "2 s, 400 MB"),
    registers("one-key-1m", ONE_KEY, Some(0), "1.5 s, 300 MB"),
    registers("one-key-1m-stale", Registers { stale: true, ..ONE_KEY }, Some(1), "1.5 s, 300 MB"),
    registers("five-values-10k", FIVE, Some(0), "5 s"),
    registers("five-values-10k-stale", Registers { stale: true, ..FIVE }, Some(1), "5 s"),
    registers("five-values-10k-info", FIVE_INFO, Some(0), "10 s, 1 GB"),
    registers("five-values-10k-info-stale", Registers { stale: true, ..FIVE_INFO }, None, "10 s, 1 GB"),
    lists("list-append-100k", 100_000, "0.5 s, 150 MB"),
    lists("list-append-1m", 1_000_000, "5 s, 1.2 GB"),
    rw_registers("rw-register-1m", &["--model", "rw-register"], "5 s, 1.2 GB"),
    rw_registers("rw-register-1m-linearizable-keys", &["--model", "rw-register", "--linearizable-keys"], "5 s, 1.2 GB"),
    component("huge-scc-long", Component::Long),
    component("huge-scc-dense", Component::Dense),
    growth("growth-10k", 10_000, 100, ""),
    growth("growth-100k", 100_000, 10, ""),
    growth("growth-1m", 1_000_000, 1, ""),
    growth("list-append-10m", 10_000_000, 1, "40 s, 8 GB"),
];

impl Row {
    fn write(&self, seed: u64, out: impl Write) -> io::Result<()> {
        let mut out = BufWriter::with_capacity(1 << 20, out);
        match &self.kind {
            Kind::Registers(registers) => registers.write(seed, &mut out),
            Kind::Transactions(transactions) => transactions.write(seed, &mut out),
            Kind::Component(component) => component.write(seed, &mut out),
        }
    }

    /// The history, in a file without a name: it is gone when this process is, however that ends.
    fn file(&self, seed: u64) -> anyhow::Result<File> {
        let folder = std::env::temp_dir();
        if let Kind::Transactions(transactions) = &self.kind {
            let disk = statvfs(&folder)?;
            let free = disk.blocks_available() as u64 * disk.fragment_size() as u64;
            let needed = transactions.bytes_max();
            anyhow::ensure!(free > needed, "{}: {} has {free} bytes free, not {needed}", self.name, folder.display());
        }
        let file = tempfile::tempfile_in(folder)?;
        self.write(seed, &file).with_context(|| self.name)?;
        Ok(file)
    }

    /// What is wrong with this answer, beside the verdict.
    fn complaint(&self, answer: &serde_json::Value) -> Option<String> {
        let Kind::Component(_) = self.kind else { return None };
        let (kinds, largest) = (&answer["anomaly-types"], &answer["checks"][0]["details"]["largest-component"]);
        (*kinds != serde_json::json!(["G2-item"]) || *largest != Component::TXNS)
            .then(|| format!("{kinds} in a component of {largest}"))
    }
}

/// What a command and its children used.
struct Used {
    code: i32,
    cpu_s: f64,
    peak_mb: f64,
    wall_s: f64,
}

/// Runs it in a process whose only child it is, so that what that process' children used is what it used. What it prints
/// goes to `answer`.
fn measure(command: &[&str], answer: &File) -> anyhow::Result<Used> {
    let mut measure = Command::new(std::env::current_exe()?);
    let output = measure.arg("measure").arg(path_of(answer)).args(command).stderr(Stdio::inherit()).output()?;
    let text = String::from_utf8(output.stdout)?;
    let figures: Vec<f64> = text.split_whitespace().map(str::parse).collect::<Result<_, _>>().context(text.clone())?;
    let [code, cpu_s, peak_mb, wall_s] = figures[..] else { anyhow::bail!("no figures: {text}") };
    Ok(Used { code: code as i32, cpu_s, peak_mb, wall_s })
}

/// The other side of [`measure`].
fn measured(command: &[String]) -> anyhow::Result<()> {
    let started = Instant::now();
    let [answer, program, args @ ..] = command else { anyhow::bail!("measure takes a file and a command") };
    let status = Command::new(program).args(args).stdout(File::create(answer)?).status()?;
    let wall_s = started.elapsed().as_secs_f64();
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN)?;
    let seconds = |time: TimeVal| time.tv_sec() as f64 + time.tv_usec() as f64 / 1e6;
    let cpu_s = seconds(usage.user_time()) + seconds(usage.system_time());
    // Linux counts in KiB.
    let peak_mb = usage.max_rss() as f64 * 1024.0 / 1e6;
    println!("{} {cpu_s} {peak_mb} {wall_s}", status.code().unwrap_or(-1));
    Ok(())
}

/// Where other processes find it, as long as this one has it.
fn path_of(file: &File) -> String {
    format!("/proc/{}/fd/{}", std::process::id(), file.as_raw_fd())
}

fn bench(wanted: &[String], seed: u64) -> anyhow::Result<bool> {
    let mut good = true;
    let mut growth: Vec<(u64, f64)> = Vec::new();
    println!("| history | MB | verdict | CPU s | wall s | peak MB | bar |");
    println!("|---|---|---|---|---|---|---|");
    for row in ROWS.iter().filter(|row| wanted.is_empty() || wanted.iter().any(|name| name == row.name)) {
        let file = row.file(seed)?;
        let path = path_of(&file);
        let mut command = vec!["target/release/schism", "check", "--json"];
        command.extend(row.options);
        command.extend((0..row.times).map(|_| path.as_str()));
        let mut answer = tempfile::tempfile()?;
        let Used { code, cpu_s, wall_s, peak_mb } = measure(&command, &answer)?;
        let mut text = String::new();
        answer.rewind()?;
        answer.read_to_string(&mut text)?;
        let verdict = match code {
            0 => "valid",
            1 => "invalid",
            2 => "unknown",
            _ => "FAILED",
        };
        let mut wrong = row.expected.map_or(code > 1, |expected| expected != code);
        if let Some(line) = text.lines().next()
            && let Some(complaint) = row.complaint(&serde_json::from_str(line)?)
        {
            eprintln!("bench-checker: {}: {complaint}", row.name);
            wrong = true;
        }
        good &= !wrong;
        let mark = if wrong { " (WRONG)" } else { "" };
        let name = if row.times == 1 { row.name.to_owned() } else { format!("{}, {} times", row.name, row.times) };
        let mb = file.metadata()?.len() as f64 / 1e6;
        println!("| {name} | {mb:.0} | {verdict}{mark} | {cpu_s:.2} | {wall_s:.2} | {peak_mb:.0} | {} |", row.bar);
        if row.name == "unique-1m" {
            let own = std::env::current_exe()?;
            let used = measure(&[&own.to_string_lossy(), "read", &path], &answer)?;
            println!(
                "| EDN reading alone, {:.0} MB/s of CPU time | {mb:.0} | | {:.2} | {:.2} | {:.0} | 200 MB/s |",
                mb / used.cpu_s,
                used.cpu_s,
                used.wall_s,
                used.peak_mb
            );
        }
        if let Kind::Transactions(transactions @ Transactions { form: Form::Json, .. }) = &row.kind {
            growth.push((transactions.txns, cpu_s * 1e6 / (transactions.txns * row.times) as f64));
        }
    }
    if let [(_, first), _, ..] = growth[..] {
        println!("\n| list-append transactions | µs of CPU time each | of the first |");
        println!("|---|---|---|");
        for (txns, each) in growth {
            println!("| {txns} | {each:.2} | {:.2} |", each / first);
        }
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
            let only_write = wanted.first().is_some_and(|first| first == "write");
            wanted.drain(..usize::from(only_write));
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
            if only_write {
                let mut rows = ROWS.iter().filter(|row| wanted.iter().any(|name| name == row.name));
                rows.try_for_each(|row| row.write(seed, io::stdout().lock())).map(|()| true).map_err(Into::into)
            } else {
                bench(&wanted, seed)
            }
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
