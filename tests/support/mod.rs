//! What the tests of the command line share: running it, waiting for things with a limit, reading what it left.

// Each test program uses its own part.
#![allow(dead_code)]

use std::{
    fmt::Write as _,
    fs,
    io::Read as _,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    thread::JoinHandle,
    time::{Duration, Instant},
};

use serde_json::Value;

/// No command of a test takes longer; a hang must fail, not stop the whole run.
pub(crate) const LIMIT: Duration = Duration::from_secs(90);

/// Between two looks at something that is being waited for.
const POLL: Duration = Duration::from_millis(10);

/// The program under test.
pub(crate) fn schism() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_schism"));
    // The user's own must not change what is tested.
    command.env_remove("SCHISM_RESULTS").env("NO_COLOR", "1").stdin(Stdio::null());
    command
}

/// A folder for results that goes away with the test.
pub(crate) fn scratch() -> tempfile::TempDir {
    tempfile::Builder::new().prefix("schism-test-").tempdir().unwrap()
}

/// How a command ended and what it said.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ended {
    /// Its exit code was this one.
    #[track_caller]
    pub(crate) fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "\n--- stdout\n{}\n--- stderr\n{}", self.stdout, self.stderr);
        self
    }

    /// Its standard output as JSON.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error} in {:?}", self.stdout))
    }
}

impl From<Output> for Ended {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

/// A command that goes on while the test does something to it. Ended with the test, whatever happens.
pub(crate) struct Running {
    child: Child,
    stdout: Option<JoinHandle<Vec<u8>>>,
    stderr: Option<JoinHandle<Vec<u8>>>,
}

impl Running {
    #[track_caller]
    pub(crate) fn start(command: &mut Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let (mut out, mut err) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
        // Read at once: what fills a pipe would wait for its reader.
        let stdout = std::thread::spawn(move || {
            let mut bytes = Vec::new();
            let _ = out.read_to_end(&mut bytes);
            bytes
        });
        let stderr = std::thread::spawn(move || {
            let mut bytes = Vec::new();
            let _ = err.read_to_end(&mut bytes);
            bytes
        });
        Self { child, stdout: Some(stdout), stderr: Some(stderr) }
    }

    pub(crate) fn pid(&self) -> i32 {
        i32::try_from(self.child.id()).unwrap()
    }

    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    #[track_caller]
    pub(crate) fn wait(mut self, limit: Duration) -> Ended {
        let until = Instant::now() + limit;
        let text = |reader: Option<JoinHandle<Vec<u8>>>| {
            let bytes = reader.map(|reader| reader.join().unwrap()).unwrap_or_default();
            String::from_utf8_lossy(&bytes).into_owned()
        };
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                let (stdout, stderr) = (text(self.stdout.take()), text(self.stderr.take()));
                return Ended { code: status.code(), stdout, stderr };
            }
            if Instant::now() >= until {
                self.child.kill().unwrap();
                self.child.wait().unwrap();
                let said = format!("{}\n{}", text(self.stdout.take()), text(self.stderr.take()));
                panic!("no end after {limit:?}; it said\n{said}");
            }
            std::thread::sleep(POLL);
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs a command to its end.
#[track_caller]
pub(crate) fn run(command: &mut Command) -> Ended {
    Running::start(command).wait(LIMIT)
}

/// Runs `schism` with these arguments.
#[track_caller]
pub(crate) fn call(args: &[&str]) -> Ended {
    run(schism().args(args))
}

/// Waits until there is something, and gives it.
#[track_caller]
pub(crate) fn eventually<T>(what: &str, limit: Duration, mut ready: impl FnMut() -> Option<T>) -> T {
    let until = Instant::now() + limit;
    loop {
        if let Some(found) = ready() {
            return found;
        }
        assert!(Instant::now() < until, "{what}: not within {limit:?}");
        std::thread::sleep(POLL);
    }
}

/// The only run below a results folder, once it is there.
pub(crate) fn run_folder(results: &Path) -> Option<PathBuf> {
    let folders = |path: &Path| {
        let entries = fs::read_dir(path).into_iter().flatten().flatten().map(|entry| entry.path());
        entries.filter(|path| path.is_dir() && !path.is_symlink()).collect::<Vec<_>>()
    };
    folders(results).iter().flat_map(|family| folders(family)).next()
}

/// Everything below a folder, by name; for "creates nothing".
pub(crate) fn tree(path: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut todo = vec![path.to_path_buf()];
    while let Some(folder) = todo.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() && !path.is_symlink() {
                todo.push(path.clone());
            }
            found.push(path);
        }
    }
    found.sort();
    found
}

/// Whole lines of a file of JSON lines, as far as it is written.
pub(crate) fn json_lines(path: &Path) -> Vec<Value> {
    let text = fs::read_to_string(path).unwrap_or_default();
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    whole.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// A run's `result.json`.
#[track_caller]
pub(crate) fn result_of(folder: &Path) -> Value {
    serde_json::from_slice(&fs::read(folder.join("result.json")).unwrap()).unwrap()
}

/// One check of a result or of a line of `check --json`.
#[track_caller]
pub(crate) fn check_named<'a>(result: &'a Value, name: &str) -> &'a Value {
    let checks = result["checks"].as_array().unwrap();
    checks.iter().find(|check| check["name"] == name).unwrap_or_else(|| panic!("no check {name} in {result}"))
}

/// Each check's verdict on a line, for messages.
pub(crate) fn verdicts(result: &Value) -> String {
    let mut text = String::new();
    for check in result["checks"].as_array().into_iter().flatten() {
        let _ = writeln!(text, "{} {}: {}", check["name"], check["valid"], check["summary"]);
    }
    text
}
