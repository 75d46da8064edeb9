//! Clocks of a real child with threads and signals, while they are rewritten.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use nix::libc;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use super::code::{Line, RATE_ONE};
use super::image::{Image, place};
use super::rewrite::{Stop, is_rewritten, restore, rewrite};
use super::*;

const HOUR_NS: i64 = 3_600_000_000_000;
const YEAR_NS: i64 = 365 * 24 * HOUR_NS;
/// A child that tells what its clocks say, on a machine that has other things to do.
const NEAR_NS: i64 = 5_000_000_000;
/// Set for the child only: run by hand, its test does nothing.
const IS_CHILD: &str = "SCHISM_TEST_CLOCK_CHILD";

fn read_clock(clock: libc::clockid_t) -> i64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the pointer is to a live value of the right type.
    assert_eq!(unsafe { libc::clock_gettime(clock, &mut time) }, 0);
    time.tv_sec * 1_000_000_000 + time.tv_nsec
}

fn read_gettimeofday() -> i64 {
    let mut time = libc::timeval { tv_sec: 0, tv_usec: 0 };
    // SAFETY: the pointer is to a live value of the right type; no time zone is asked for.
    assert_eq!(unsafe { libc::gettimeofday(&mut time, std::ptr::null_mut()) }, 0);
    time.tv_sec * 1_000_000_000 + time.tv_usec * 1_000
}

fn read_time() -> i64 {
    // SAFETY: nothing is pointed to.
    unsafe { libc::time(std::ptr::null_mut()) * 1_000_000_000 }
}

/// The true wall clock, past the vDSO.
fn true_clock() -> i64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the pointer is to a live value of the right type.
    unsafe { libc::syscall(libc::SYS_clock_gettime, libc::CLOCK_REALTIME, &mut time) };
    time.tv_sec * 1_000_000_000 + time.tv_nsec
}

/// Readings that no line explains.
static WRONG: AtomicU64 = AtomicU64::new(0);
static READ: AtomicU64 = AtomicU64::new(0);

fn look() {
    for told in [read_clock(libc::CLOCK_REALTIME), read_gettimeofday(), read_time()] {
        let ahead = told - true_clock();
        if ![0, HOUR_NS, -HOUR_NS].iter().any(|line| (ahead - line).abs() < NEAR_NS) {
            WRONG.fetch_add(1, Ordering::Relaxed);
        }
    }
    READ.fetch_add(1, Ordering::Relaxed);
}

extern "C" fn on_alarm(_: libc::c_int) {
    for _ in 0..20 {
        look();
    }
}

/// The child's side: answers questions on its input; not a test.
#[test]
#[ignore = "the child of other tests"]
fn child() {
    if std::env::var_os(IS_CHILD).is_none() {
        return;
    }
    let stdin = std::io::stdin();
    let answer = |text: String| {
        let mut out = std::io::stdout().lock();
        writeln!(out, "\nanswer {text}").and_then(|()| out.flush()).unwrap();
    };
    let times = || {
        let wall = [read_clock(libc::CLOCK_REALTIME), read_clock(libc::CLOCK_REALTIME_COARSE)];
        let wall = [wall[0], wall[1], read_gettimeofday(), read_time()].map(|told| told - true_clock());
        format!("{} {} {} {} {}", wall[0], wall[1], wall[2], wall[3], read_clock(libc::CLOCK_MONOTONIC))
    };
    for line in stdin.lock().lines() {
        match line.unwrap().as_str() {
            "times" => answer(times()),
            "fork" => {
                // SAFETY: only our own child runs on, in a process in which nobody else does anything yet.
                if let nix::unistd::ForkResult::Child = unsafe { nix::unistd::fork() }.unwrap() {
                    answer(times());
                    // SAFETY: ends the fork at once.
                    unsafe { libc::_exit(0) };
                }
            }
            "exec" => {
                let told = Command::new("date").arg("+%s%N").output().unwrap().stdout;
                let told: i64 = String::from_utf8(told).unwrap().trim().parse().unwrap();
                answer((told - true_clock()).to_string());
            }
            "hammer" => {
                for _ in 0..4 {
                    std::thread::spawn(|| {
                        loop {
                            look();
                        }
                    });
                }
                let often = libc::timeval { tv_sec: 0, tv_usec: 700 };
                let timer = libc::itimerval { it_interval: often, it_value: often };
                // SAFETY: the handler makes system calls and adds to atomics only.
                unsafe {
                    libc::signal(libc::SIGALRM, on_alarm as *const () as libc::sighandler_t);
                    libc::setitimer(libc::ITIMER_REAL, &timer, std::ptr::null_mut());
                }
                answer("now".to_owned());
            }
            "hammered" => answer(format!("{} {}", WRONG.load(Ordering::Relaxed), READ.load(Ordering::Relaxed))),
            other => panic!("{other}"),
        }
    }
}

struct Asked {
    child: Child,
    questions: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Asked {
    fn start() -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "clock::tests::child", "--ignored", "--nocapture", "--test-threads=1"])
            .env(IS_CHILD, "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (questions, answers) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        let mut asked = Self { child, questions, answers };
        // It is there.
        asked.ask("times");
        asked
    }

    fn ask(&mut self, question: &str) -> Vec<i64> {
        writeln!(self.questions, "{question}").unwrap();
        let mut line = String::new();
        loop {
            line.clear();
            assert!(self.answers.read_line(&mut line).unwrap() > 0, "the child has ended");
            if let Some(answer) = line.trim().strip_prefix("answer ") {
                return answer.split(' ').filter_map(|number| number.parse().ok()).collect();
            }
        }
    }

    /// All four ways to ask for the wall clock say that it is so far ahead.
    fn assert_ahead(&mut self, question: &str, ahead_ns: i64) {
        let told = self.ask(question);
        assert_eq!(told.len(), 5);
        for ahead in &told[..4] {
            assert!((ahead - ahead_ns).abs() < NEAR_NS, "{told:?}");
        }
        assert!((told[4] - read_clock(libc::CLOCK_MONOTONIC)).abs() < NEAR_NS, "{told:?}");
    }

    fn pid(&self) -> u32 {
        self.child.id()
    }

    fn set(&self, image: &Image, line: Line) {
        assert_eq!(rewrite(image, self, |pids| Ok(vec![Some(line); pids.len()])), Ok(1));
    }

    fn vdso(&self) -> Vec<u8> {
        use std::os::unix::fs::FileExt;
        let range = place(self.pid()).unwrap().unwrap();
        let mut bytes = vec![0; range.len()];
        let memory = fs::File::open(format!("/proc/{}/mem", self.pid())).unwrap();
        memory.read_exact_at(&mut bytes, range.start as u64).unwrap();
        bytes
    }
}

impl Stop for Asked {
    fn stopped<T>(&self, act: impl FnOnce(&[u32]) -> Result<T, String>) -> Result<T, String> {
        let pid = Pid::from_raw(self.pid().cast_signed());
        kill(pid, Signal::SIGSTOP).unwrap();
        assert!(matches!(waitpid(pid, Some(WaitPidFlag::WUNTRACED)), Ok(WaitStatus::Stopped(..))));
        let result = act(&[self.pid()]);
        kill(pid, Signal::SIGCONT).unwrap();
        result
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        let _ = self.child.kill().and_then(|()| self.child.wait());
    }
}

fn line(change: ClockChange) -> Line {
    change.line(true_now_ns().unwrap()).unwrap()
}

#[test]
fn a_child_is_told_another_time_and_its_children_too_but_not_what_it_executes() {
    let image = Image::of_this_kernel().unwrap();
    let mut child = Asked::start();
    child.assert_ahead("times", 0);
    for offset_ms in [3_600_000, -3_600_000, 40 * 365 * 86_400_000, -40 * 365 * 86_400_000] {
        child.set(&image, line(ClockChange::Skew { offset_ms }));
        child.assert_ahead("times", offset_ms * 1_000_000);
        child.assert_ahead("fork", offset_ms * 1_000_000);
        assert!(child.ask("exec")[0].abs() < NEAR_NS);
        assert!(is_rewritten(&image, child.pid()).unwrap());
    }
    restore(&image, &child).unwrap();
    child.assert_ahead("times", 0);
    assert!(!is_rewritten(&image, child.pid()).unwrap());
    assert_eq!(child.vdso(), image.original);
    assert_eq!(Image::of_this_kernel().unwrap().original, image.original, "ours was not touched");
}

#[test]
fn a_clock_drifts_and_stands_still() {
    let image = Image::of_this_kernel().unwrap();
    let mut child = Asked::start();
    let mut rate = |change| {
        child.set(&image, line(change));
        let before = (child.ask("times")[0], read_clock(libc::CLOCK_MONOTONIC));
        std::thread::sleep(Duration::from_millis(400));
        let after = (child.ask("times")[0], read_clock(libc::CLOCK_MONOTONIC));
        (after.0 - before.0) as f64 / (after.1 - before.1) as f64
    };
    // Asking takes a moment before its clock is read and after it.
    for (change, gained) in [
        (ClockChange::Drift { rate_ppm: 9_000_000 }, 9.0),
        (ClockChange::Drift { rate_ppm: -500_000 }, -0.5),
        (ClockChange::Freeze, -1.0),
    ] {
        let got = rate(change);
        assert!((got - gained).abs() < 0.25 * f64::abs(gained), "{change:?}: {got}");
    }
}

#[test]
fn rewritten_a_thousand_times_threads_and_handlers_read_whole_lines() {
    let image = Image::of_this_kernel().unwrap();
    let mut child = Asked::start();
    child.ask("hammer");
    let mut original = 0;
    for round in 0..1_000 {
        let now_ns = true_now_ns().unwrap();
        // Far apart in what they are computed from: half of one with half of the other is years off.
        let line = match round % 2 {
            0 => Line { base_in_ns: now_ns, base_out_ns: now_ns + HOUR_NS, rate: RATE_ONE },
            _ => Line { base_in_ns: now_ns - YEAR_NS, base_out_ns: now_ns - YEAR_NS - HOUR_NS, rate: RATE_ONE },
        };
        child.set(&image, line);
        if round % 10 == 9 {
            restore(&image, &child).unwrap();
            original += u32::from(child.vdso() == image.original);
        }
    }
    let hammered = child.ask("hammered");
    assert!(hammered[0] == 0 && hammered[1] > 10_000, "{hammered:?} (wrong, read)");
    // Erased as soon as nobody is in it, which under this load may now and then not be in time.
    assert!(original > 50, "{original} of 100");
    println!("{} readings by 4 threads and a handler; bytes as before {original} times of 100", hammered[1]);
}

#[test]
fn the_trial_tells_whether_clocks_can_be_set() {
    assert_eq!(trial(false), Ok(()));
    // Where user namespaces are not allowed the child ends before it tells the time.
    let nested = trial(true);
    assert!(nested.is_ok() || nested.as_ref().is_err_and(|why| why.contains("did not tell the time")), "{nested:?}");
}

#[test]
fn a_change_made_again_goes_on_with_its_line() {
    let mut clocks = Clocks::default();
    let drift = ClockChange::Drift { rate_ppm: 50_000 };
    clocks.set(None, drift, 1_000).unwrap();
    let first = clocks.line(None).unwrap();
    clocks.set(None, drift, 2_000).unwrap();
    assert_eq!(clocks.line(Some("redis")), Some(first));
    clocks.set(Some("sentinel"), ClockChange::Freeze, 3_000).unwrap();
    assert_eq!(clocks.line(Some("sentinel")), Some(Line { base_in_ns: 3_000, base_out_ns: 3_000, rate: 0 }));
    assert_eq!(clocks.line(Some("redis")), Some(first));
    clocks.set(None, ClockChange::Skew { offset_ms: 1 }, 4_000).unwrap();
    assert_eq!(clocks.line(Some("sentinel")), clocks.line(None));
    let text = serde_json::to_string(&clocks).unwrap();
    assert_eq!(serde_json::from_str::<Clocks>(&text).unwrap(), clocks);
    for refused in [
        ClockChange::Skew { offset_ms: i64::MIN },
        ClockChange::Drift { rate_ppm: -1_000_000 },
        ClockChange::Drift { rate_ppm: i64::MAX },
    ] {
        assert!(clocks.set(None, refused, 0).is_err());
    }
}
