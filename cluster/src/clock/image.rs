//! The kernel's vDSO as every process has it until it is rewritten, and where the rewriting goes.
//!
//! All processes of a kernel have the same image, so that our own, which nobody rewrites, is the original: undoing
//! needs nothing that was stored.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;

use object::read::elf::ElfFile64;
use object::{Endianness, Object, ObjectSegment, ObjectSymbol};

use super::code::{Code, code};

/// `jmp` and its distance.
const JUMP_BYTES: usize = 5;
/// A landing pad for indirect calls, where the kernel was compiled with them: has to stay first.
const ENDBR64: [u8; 4] = [0xf3, 0x0f, 0x1e, 0xfa];
/// So that the line, at the end, shares its cache line with as little code as may be.
const ALIGNED: usize = 64;

/// The image, and what is to be written where, in offsets from its beginning.
#[derive(Debug)]
pub(super) struct Image {
    pub(super) original: Vec<u8>,
    pub(super) code: Code,
    /// Where the code goes: behind everything that is loaded, where the file has its section headers and the last page
    /// its padding. Nothing at run time reads either.
    pub(super) code_at: usize,
    /// Each function's jump.
    pub(super) jumps: [Jump; 3],
}

/// The beginning of a function, replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Jump {
    pub(super) at: usize,
    pub(super) bytes: [u8; JUMP_BYTES],
}

impl Jump {
    pub(super) const fn range(&self) -> Range<usize> {
        self.at..self.at + JUMP_BYTES
    }

    /// Where a thread must not be while the jump is written: between two of the instructions that it replaces. At its
    /// very beginning a thread may be, and beyond its end, where the function stays as it was.
    pub(super) const fn inner(&self) -> Range<usize> {
        self.at + 1..self.at + JUMP_BYTES
    }
}

impl Image {
    /// That of this kernel, from our own memory. `Err` says why it cannot be rewritten.
    pub(super) fn of_this_kernel() -> Result<Self, String> {
        let own = |error: io::Error| format!("cannot read our own vDSO: {error}");
        let range = place(std::process::id()).map_err(own)?.ok_or("this kernel has no vDSO")?;
        let mut original = vec![0; range.end - range.start];
        let memory = File::open("/proc/self/mem").map_err(own)?;
        memory.read_exact_at(&mut original, range.start as u64).map_err(own)?;
        let code = code().ok_or("the vDSO is rewritten on x86-64 only")?;
        Self::plan(original, code)
    }

    fn plan(original: Vec<u8>, code: Code) -> Result<Self, String> {
        let malformed = |error: object::Error| format!("the vDSO is no ELF file: {error}");
        let file = ElfFile64::<Endianness, _>::parse(original.as_slice()).map_err(malformed)?;
        let loaded_end = file.segments().map(|segment| segment.address() + segment.size()).max().unwrap_or(0) as usize;
        let code_at = original.len().checked_sub(code.len()).map(|at| at / ALIGNED * ALIGNED);
        let code_at = code_at.filter(|&at| at >= loaded_end && loaded_end > 0).ok_or_else(|| {
            let left = original.len().saturating_sub(loaded_end);
            format!("the vDSO has {left} bytes left; {} are needed", code.len())
        })?;
        let jump = |name: &str, entry: usize| {
            let symbol = file.dynamic_symbols().find(|symbol| symbol.name() == Ok(name));
            let symbol = symbol.ok_or_else(|| format!("the vDSO has no {name}"))?;
            let (begin, size) = (symbol.address() as usize, symbol.size() as usize);
            let body = original.get(begin..begin.saturating_add(size)).filter(|_| begin + size <= loaded_end);
            let body = body.ok_or_else(|| format!("the vDSO's {name} is outside of it"))?;
            let skipped = if body.starts_with(&ENDBR64) { ENDBR64.len() } else { 0 };
            if size < skipped + JUMP_BYTES {
                return Err(format!("the vDSO's {name} has {size} bytes: too few for a jump"));
            }
            let at = begin + skipped;
            // Both are within two pages or so.
            let distance = (code_at + entry) as i32 - (at + JUMP_BYTES) as i32;
            let mut bytes = [0xe9; JUMP_BYTES];
            bytes[1..].copy_from_slice(&distance.to_le_bytes());
            Ok(Jump { at, bytes })
        };
        let jumps = [
            jump("__vdso_clock_gettime", code.clock_gettime_at)?,
            jump("__vdso_gettimeofday", code.gettimeofday_at)?,
            jump("__vdso_time", code.time_at)?,
        ];
        Ok(Self { original, code, code_at, jumps })
    }

    /// Where the code and its line go.
    pub(super) const fn code_range(&self) -> Range<usize> {
        self.code_at..self.code_at + self.code.len()
    }

    /// Where only the line goes.
    pub(super) const fn line_range(&self) -> Range<usize> {
        self.code_at + self.code.line_at()..self.code_at + self.code.len()
    }

    /// What a process has made of it.
    pub(super) fn state(&self, found: &[u8]) -> State {
        if found == self.original {
            return State::Original;
        }
        let original = |jump: &Jump| found[jump.range()] == self.original[jump.range()];
        let replaced = |jump: &Jump| found[jump.range()] == jump.bytes;
        // All of it but what we write must be the kernel's: another vDSO would be ruined by our offsets.
        let mut rest = found.to_vec();
        for range in self.jumps.iter().map(Jump::range).chain([self.code_range()]) {
            rest[range.clone()].copy_from_slice(&self.original[range]);
        }
        let code_is_ours = found[self.code_range()].starts_with(self.code.fixed());
        if rest != self.original || !code_is_ours {
            State::Foreign
        } else if self.jumps.iter().all(original) {
            State::Restored
        } else if self.jumps.iter().all(replaced) {
            State::Rewritten
        } else if self.jumps.iter().all(|jump| original(jump) || replaced(jump)) {
            State::Half
        } else {
            State::Foreign
        }
    }
}

/// What a process has made of the vDSO.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// As the kernel gave it.
    Original,
    /// Its functions jump to our code.
    Rewritten,
    /// Some of them do: whoever was writing was killed.
    Half,
    /// Its functions are the kernel's again; our code is still there for those who are in it.
    Restored,
    /// Something else.
    Foreign,
}

/// Where a process has its vDSO; `None`: it has none (it has ended, or it is a thread of the kernel).
pub(super) fn place(pid: u32) -> io::Result<Option<Range<usize>>> {
    let maps = std::fs::read_to_string(format!("/proc/{pid}/maps"))?;
    let malformed = || io::Error::new(io::ErrorKind::InvalidData, "malformed /proc/PID/maps");
    let Some(line) = maps.lines().find(|line| line.ends_with(" [vdso]")) else { return Ok(None) };
    let (begin, rest) = line.split_once('-').ok_or_else(malformed)?;
    let end = rest.split(' ').next().ok_or_else(malformed)?;
    let number = |hex: &str| usize::from_str_radix(hex, 16).map_err(|_| malformed());
    Ok(Some(number(begin)?..number(end)?))
}

#[cfg(test)]
#[cfg(target_arch = "x86_64")]
mod tests {
    use super::*;

    #[test]
    fn jumps_and_code_are_where_nothing_else_is() {
        let image = Image::of_this_kernel().unwrap();
        assert!(image.code_range().end <= image.original.len());
        let file = ElfFile64::<Endianness, _>::parse(image.original.as_slice()).unwrap();
        assert!(file.segments().all(|segment| segment.address() + segment.size() <= image.code_at as u64));
        let ours = ["clock_gettime", "gettimeofday", "time"];
        for symbol in file.dynamic_symbols().filter(|symbol| symbol.size() > 0) {
            let name = symbol.name().unwrap();
            let body = symbol.address() as usize..(symbol.address() + symbol.size()) as usize;
            let touched = image.jumps.iter().filter(|jump| jump.at < body.end && body.start < jump.range().end).count();
            let wanted = ours.contains(&name.trim_start_matches("__vdso_"));
            assert_eq!(touched, usize::from(wanted), "{name}");
        }
    }

    #[test]
    fn what_a_process_made_of_it_is_recognised() {
        let image = Image::of_this_kernel().unwrap();
        let mut bytes = image.original.clone();
        assert_eq!(image.state(&bytes), State::Original);
        bytes[image.code_range()][..image.code.fixed().len()].copy_from_slice(image.code.fixed());
        for (number, jump) in image.jumps.into_iter().enumerate() {
            assert_eq!(image.state(&bytes), if number == 0 { State::Restored } else { State::Half });
            bytes[jump.range()].copy_from_slice(&jump.bytes);
        }
        assert_eq!(image.state(&bytes), State::Rewritten);
        bytes[0] ^= 1;
        assert_eq!(image.state(&bytes), State::Foreign);
    }

    #[test]
    fn a_vdso_without_room_or_functions_is_refused() {
        let image = Image::of_this_kernel().unwrap();
        let plan = |bytes: Vec<u8>| Image::plan(bytes, image.code).unwrap_err();
        // The first program header's size in memory.
        let (mut full, left) = (image.original.clone(), image.code.len() - 1);
        full[64 + 40..64 + 48].copy_from_slice(&(image.original.len() - left).to_le_bytes());
        assert_eq!(plan(full), format!("the vDSO has {left} bytes left; {} are needed", image.code.len()));
        let mut renamed = image.original.clone();
        let at = renamed.windows(12).position(|bytes| bytes == b"__vdso_time\0").unwrap();
        renamed[at] = b'x';
        assert_eq!(plan(renamed), "the vDSO has no __vdso_time");
        assert!(plan(b"nothing".to_vec()).contains("no ELF file"));
    }
}
