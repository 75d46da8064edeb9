//! Where the threads of a stopped process are.
//!
//! Code must not be changed under a thread that is between two of its instructions: it would go on in the middle of
//! another one. A thread is there when its instruction pointer is, and also when a signal interrupted it there: then
//! its handler runs, and the instruction pointer to come back to is on its stack.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;

/// How much of a stack is searched, from its top: a signal's frame (up to 11 KiB with all vector registers) and what
/// its handler has called since.
const STACK_BYTES: usize = 64 << 10;
const PAGE_BYTES: u64 = 4096;

/// Whether no thread of the process is in any of these ranges, nor will come back to one from a signal's handler. A
/// thread of which that cannot be told (it runs) counts as being there.
pub(super) fn are_outside(pid: u32, memory: &File, ranges: &[Range<u64>]) -> io::Result<bool> {
    let inside = |address: u64| ranges.iter().any(|range| range.contains(&address));
    for entry in std::fs::read_dir(format!("/proc/{pid}/task"))? {
        let text = match std::fs::read_to_string(entry?.path().join("syscall")) {
            Ok(text) => text,
            // This thread has ended.
            Err(error) if is_gone(&error) => continue,
            Err(error) => return Err(error),
        };
        let Some((stack, instruction)) = pointers(&text) else { return Ok(false) };
        if inside(instruction) || stack_words(memory, stack)?.into_iter().any(inside) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Whether the error says that the process or thread has ended.
pub(super) fn is_gone(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(nix::libc::ESRCH)
}

/// The last two fields of `/proc/PID/task/TID/syscall`: stack and instruction pointer; `None` while it runs.
fn pointers(text: &str) -> Option<(u64, u64)> {
    let mut fields = text.split_ascii_whitespace().rev();
    let mut pointer = || u64::from_str_radix(fields.next()?.strip_prefix("0x")?, 16).ok();
    let instruction = pointer()?;
    Some((pointer()?, instruction))
}

/// The words on a stack, read page by page up to its end.
fn stack_words(memory: &File, stack: u64) -> io::Result<Vec<u64>> {
    let mut bytes = vec![0; STACK_BYTES];
    let begin = stack & !7;
    let mut filled = 0;
    while filled < bytes.len() {
        let at = begin + filled as u64;
        let to_page_end = (PAGE_BYTES - at % PAGE_BYTES) as usize;
        let wanted = to_page_end.min(bytes.len() - filled);
        match memory.read_at(&mut bytes[filled..filled + wanted], at) {
            Ok(0) => break,
            Ok(count) => filled += count,
            // The end of the stack.
            Err(error) if error.raw_os_error() == Some(nix::libc::EIO) => break,
            Err(error) => return Err(error),
        }
    }
    Ok(bytes[..filled].chunks_exact(8).map(|word| u64::from_le_bytes(word.try_into().unwrap_or_default())).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_where_a_stopped_thread_is() {
        let in_a_call = "7 0x1 0x2 0x3 0x4 0x5 0x6 0x7ffd0 0x401000\n";
        assert_eq!(pointers(in_a_call), Some((0x7_ffd0, 0x40_1000)));
        assert_eq!(pointers("-1 0x7fffcf614330 0x7fad88c34b2c\n"), Some((0x7fff_cf61_4330, 0x7fad_88c3_4b2c)));
        assert_eq!(pointers("running\n"), None);
    }

    #[test]
    fn a_stack_is_read_to_its_end() {
        let memory = File::open("/proc/self/mem").unwrap();
        let words = [0x1122_3344_5566_7788_u64, 42];
        let found = stack_words(&memory, (&raw const words).addr() as u64).unwrap();
        assert_eq!(found[..2], words);
    }
}
