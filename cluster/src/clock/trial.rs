//! Whether clocks can be set on this machine: tried on a child of our own.

use std::io::{self, Read, Write};
use std::os::fd::AsRawFd;

use nix::libc;
use nix::sched::{CloneFlags, unshare};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, fork};

use super::image::Image;
use super::rewrite::{Stop, restore, rewrite};
use super::{ClockChange, true_now_ns};
use crate::sandbox::IdMaps;

const OFFSET_MS: i64 = 3_600_000;
/// Of what the child tells: both clocks are the kernel's, so that only the time that it takes to ask is between them.
const WITHIN_NS: i64 = 5_000_000_000;

/// Sets the clock of a child, asks it, and sets it back. With `nested`, the child is in a user namespace of its own,
/// as servers are in a sandbox without root. `Err` says why it does not work.
pub(crate) fn trial(nested: bool) -> Result<(), String> {
    let image = Image::of_this_kernel()?;
    let child = Child::fork(nested).map_err(|error| error.to_string())?;
    let now_ns = || true_now_ns().ok_or("our own clock is before 1970");
    let line = ClockChange::Skew { offset_ms: OFFSET_MS }.line(now_ns()?)?;
    let ahead_ns = |child: &Child| -> Result<i64, String> {
        let told = child.time_ns().map_err(|error| format!("a child did not tell the time: {error}"))?;
        Ok(told - now_ns()?)
    };
    ahead_ns(&child)?;
    rewrite(&image, &child, |pids| Ok(vec![Some(line); pids.len()]))?;
    let moved_ns = ahead_ns(&child)?;
    if (moved_ns - OFFSET_MS * 1_000_000).abs() > WITHIN_NS {
        return Err(format!("a child's clock was set by {OFFSET_MS} ms and is off by {} ms", moved_ns / 1_000_000));
    }
    restore(&image, &child)
}

/// A fork of ours that tells the time when asked, and dies with this.
struct Child {
    pid: Pid,
    questions: io::PipeWriter,
    answers: io::PipeReader,
}

impl Child {
    fn fork(nested: bool) -> io::Result<Self> {
        let (their_questions, questions) = io::pipe()?;
        let (answers, their_answers) = io::pipe()?;
        let maps = nested.then(|| IdMaps::to(crate::exec::SERVER_UID));
        // SAFETY: the child makes system calls only and never returns: other threads' locks are held forever in it.
        match unsafe { fork() }? {
            ForkResult::Parent { child } => Ok(Self { pid: child, questions, answers }),
            ForkResult::Child => {
                let entered =
                    maps.is_none_or(|maps| unshare(CloneFlags::CLONE_NEWUSER).is_ok() && maps.write().is_ok());
                // SAFETY: closes our copies of the parent's ends: the child ends when the parent's are closed.
                unsafe {
                    libc::close(questions.as_raw_fd());
                    libc::close(answers.as_raw_fd());
                }
                if entered {
                    tell_the_time(their_questions.as_raw_fd(), their_answers.as_raw_fd());
                }
                // SAFETY: ends the fork without running what the parent has to run at its end.
                unsafe { libc::_exit(0) }
            }
        }
    }

    /// Its own wall clock, in nanoseconds since 1970.
    fn time_ns(&self) -> io::Result<i64> {
        (&self.questions).write_all(b"?")?;
        let mut bytes = [0; 8];
        (&self.answers).read_exact(&mut bytes)?;
        Ok(i64::from_ne_bytes(bytes))
    }
}

fn tell_the_time(questions: i32, answers: i32) {
    let mut question = [0_u8];
    // SAFETY: the pointers are to live values of the right size.
    unsafe {
        while libc::read(questions, question.as_mut_ptr().cast(), 1) == 1 {
            let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
            libc::clock_gettime(libc::CLOCK_REALTIME, &mut time);
            let bytes = (time.tv_sec * 1_000_000_000 + time.tv_nsec).to_ne_bytes();
            libc::write(answers, bytes.as_ptr().cast(), bytes.len());
        }
    }
}

impl Stop for Child {
    fn stopped<T>(&self, act: impl FnOnce(&[u32]) -> Result<T, String>) -> Result<T, String> {
        let told = |error: nix::Error| error.to_string();
        kill(self.pid, Signal::SIGSTOP).map_err(told)?;
        match waitpid(self.pid, Some(WaitPidFlag::WUNTRACED)).map_err(told)? {
            WaitStatus::Stopped(..) => {}
            other => return Err(format!("a child did not stop: {other:?}")),
        }
        let result = act(&[self.pid.as_raw().cast_unsigned()]);
        kill(self.pid, Signal::SIGCONT).map_err(told)?;
        result
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // It is ours and not yet reaped: its number is nobody else's.
        let _ = kill(self.pid, Signal::SIGKILL);
        let _ = waitpid(self.pid, None);
    }
}
