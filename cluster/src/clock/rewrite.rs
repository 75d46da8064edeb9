//! Rewriting the vDSO of a set of processes, and giving it back.
//!
//! Why this is safe for what runs there:
//!
//! - Every thread is stopped while anything is written (the caller's `Stop`), so that nobody fetches half an
//!   instruction, and each goes through a switch of contexts, which makes its processor forget what it had fetched.
//! - The code goes where nothing was. Of the functions only the first five bytes are replaced, by a jump to it. A
//!   thread beyond them goes on in the kernel's function and tells the true time once more; a thread *between* the
//!   instructions of those five bytes, or that will come back there from a signal's handler, makes the attempt fail,
//!   and all is tried again a moment later. (Between the first two or three instructions of a
//!   function: a thread is rarely there.)
//! - Once the code is there, only its line changes, which readers notice (see [`super::code`]).
//! - Giving back replaces the jumps by the original bytes; a jump has no inside. Threads may still be in our code:
//!   it goes on to work, with the true time for its line, and is erased when nobody is in it any more. If somebody
//!   never leaves (a node that another fault keeps stopped), bytes stay behind that nothing refers to.
//!
//! Written pages become the process's own (copy on write): its children inherit them, other processes never see
//! them, and exec gives the kernel's again.

use std::fs::{File, OpenOptions};
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::time::Duration;

use super::code::{Code, Line};
use super::image::{Image, State, place};
use super::threads::{are_outside, is_gone};

/// A thread is in a place that we need, or a child was born meanwhile: how often all is tried again, and after how
/// long. An attempt takes a millisecond or two, and the places are an instruction wide.
const ATTEMPTS: u32 = 200;
const AGAIN: Duration = Duration::from_millis(1);
/// How often our code is looked at for whether it is empty. Leaving it takes a microsecond once its thread runs.
const ERASE_ATTEMPTS: u32 = 50;

/// A set of processes that can be stopped as a whole.
pub(super) trait Stop {
    /// Runs `act` on all of them while every thread is stopped, and lets them go on.
    fn stopped<T>(&self, act: impl FnOnce(&[u32]) -> Result<T, String>) -> Result<T, String>;
}

/// What became of one process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Done {
    Yes,
    /// A thread is where it must not be.
    Busy,
}

/// Gives every process the line that `line_of` has for it; `None` leaves it alone.
pub(super) fn rewrite(
    image: &Image,
    processes: &impl Stop,
    line_of: impl Fn(&[u32]) -> Result<Vec<Option<Line>>, String>,
) -> Result<usize, String> {
    for _ in 0..ATTEMPTS {
        let outcome = processes.stopped(|pids| {
            let lines = line_of(pids)?;
            let mut rewritten = 0;
            for (&pid, line) in pids.iter().zip(lines) {
                let Some(line) = line else { continue };
                match alive(Process::open(image, pid))?.map(|process| process.rewrite(&line)) {
                    Some(Ok(Done::Yes)) => rewritten += 1,
                    Some(Ok(Done::Busy)) => return Ok(None),
                    Some(Err(Failed::Gone)) | None => {}
                    Some(Err(Failed::Problem(problem))) => return Err(problem),
                }
            }
            Ok(Some(rewritten))
        })?;
        if let Some(rewritten) = outcome {
            return Ok(rewritten);
        }
        std::thread::sleep(AGAIN);
    }
    Err(format!("some thread was in the way {ATTEMPTS} times"))
}

/// Gives every process the kernel's vDSO back.
pub(super) fn restore(image: &Image, processes: &impl Stop) -> Result<(), String> {
    let each = |pids: &[u32], act: &dyn Fn(&Process<'_>) -> Result<Done, Failed>| {
        let mut all = Done::Yes;
        for &pid in pids {
            match alive(Process::open(image, pid))?.map(|process| act(&process)) {
                Some(Ok(Done::Busy)) => all = Done::Busy,
                Some(Err(Failed::Problem(problem))) => return Err(problem),
                Some(Ok(Done::Yes) | Err(Failed::Gone)) | None => {}
            }
        }
        Ok(all)
    };
    processes.stopped(|pids| each(pids, &|process| process.restore()))?;
    for _ in 0..ERASE_ATTEMPTS {
        if processes.stopped(|pids| each(pids, &|process| process.erase()))? == Done::Yes {
            break;
        }
        std::thread::sleep(AGAIN);
    }
    Ok(())
}

/// Whether a function of the process's vDSO is ours.
pub(super) fn is_rewritten(image: &Image, pid: u32) -> Result<bool, String> {
    Ok(alive(Process::open(image, pid))?
        .is_some_and(|process| !matches!(process.state(), State::Original | State::Restored)))
}

enum Failed {
    /// The process has ended meanwhile.
    Gone,
    Problem(String),
}

/// `None` for one that has ended or has no vDSO.
fn alive<T>(result: Result<Option<T>, Failed>) -> Result<Option<T>, String> {
    match result {
        Ok(found) => Ok(found),
        Err(Failed::Gone) => Ok(None),
        Err(Failed::Problem(problem)) => Err(problem),
    }
}

struct Process<'a> {
    image: &'a Image,
    pid: u32,
    memory: File,
    begin: u64,
    found: Vec<u8>,
}

impl<'a> Process<'a> {
    fn open(image: &'a Image, pid: u32) -> Result<Option<Self>, Failed> {
        let failed = |what: &str, error: &io::Error| failed(pid, what, error);
        let place = match place(pid) {
            Ok(Some(place)) => place,
            Ok(None) => return Ok(None),
            Err(error) => return Err(failed("find the vDSO", &error)),
        };
        if place.len() != image.original.len() {
            return Err(Failed::Problem(format!("the vDSO of process {pid} is not this kernel's")));
        }
        let memory = OpenOptions::new().read(true).write(true).open(format!("/proc/{pid}/mem"));
        let memory = memory.map_err(|error| failed("open the memory", &error))?;
        let mut found = vec![0; place.len()];
        let begin = place.start as u64;
        memory.read_exact_at(&mut found, begin).map_err(|error| failed("read the vDSO", &error))?;
        Ok(Some(Self { image, pid, memory, begin, found }))
    }

    fn state(&self) -> State {
        self.image.state(&self.found)
    }

    fn rewrite(&self, line: &Line) -> Result<Done, Failed> {
        let image = self.image;
        let before = &self.found[image.line_range()];
        match self.state() {
            State::Foreign => Err(self.foreign()),
            State::Rewritten if Code::holds(before, line) => Ok(Done::Yes),
            State::Rewritten => {
                self.write(image.line_range().start, &image.code.line_after(before, line))?;
                Ok(Done::Yes)
            }
            State::Original | State::Restored | State::Half => {
                if !self.nobody_in(image.jumps.iter().map(|jump| jump.inner()))? {
                    return Ok(Done::Busy);
                }
                // The code before the jumps: whoever ends us in between leaves functions that work.
                let code = [image.code.fixed(), &image.code.line_after(before, line)].concat();
                self.write(image.code_at, &code)?;
                for jump in &image.jumps {
                    self.write(jump.at, &jump.bytes)?;
                }
                Ok(Done::Yes)
            }
        }
    }

    fn restore(&self) -> Result<Done, Failed> {
        let image = self.image;
        match self.state() {
            State::Original | State::Restored => {}
            State::Foreign => return Err(self.foreign()),
            State::Rewritten | State::Half => {
                for jump in &image.jumps {
                    self.write(jump.at, &image.original[jump.range()])?;
                }
                let line = image.code.line_after(&self.found[image.line_range()], &Line::TRUE);
                self.write(image.line_range().start, &line)?;
            }
        }
        Ok(Done::Yes)
    }

    fn erase(&self) -> Result<Done, Failed> {
        if self.state() != State::Restored {
            return Ok(Done::Yes);
        }
        if !self.nobody_in([self.image.code_range()])? {
            return Ok(Done::Busy);
        }
        self.write(self.image.code_at, &self.image.original[self.image.code_range()])?;
        Ok(Done::Yes)
    }

    fn nobody_in(&self, ranges: impl IntoIterator<Item = Range<usize>>) -> Result<bool, Failed> {
        let there = |range: Range<usize>| self.begin + range.start as u64..self.begin + range.end as u64;
        let ranges: Vec<Range<u64>> = ranges.into_iter().map(there).collect();
        are_outside(self.pid, &self.memory, &ranges).map_err(|error| failed(self.pid, "see the threads", &error))
    }

    fn write(&self, at: usize, bytes: &[u8]) -> Result<(), Failed> {
        let written = self.memory.write_all_at(bytes, self.begin + at as u64);
        written.map_err(|error| failed(self.pid, "write the vDSO", &error))
    }

    fn foreign(&self) -> Failed {
        Failed::Problem(format!("the vDSO of process {} was rewritten by another program", self.pid))
    }
}

fn failed(pid: u32, what: &str, error: &io::Error) -> Failed {
    // The memory of a process that is ending reads as empty.
    if is_gone(error) || error.kind() == io::ErrorKind::UnexpectedEof || error.kind() == io::ErrorKind::WriteZero {
        return Failed::Gone;
    }
    Failed::Problem(format!("cannot {what} of process {pid}: {error}"))
}
