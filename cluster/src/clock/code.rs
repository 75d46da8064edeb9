//! What a rewritten vDSO runs: the system call, and then a straight line through the time that it gave.
//!
//! With `t` the true time in nanoseconds, `t' = base_out + (t - base_in) * rate`. That one line is a jump (rate 1),
//! a drift (another rate) and a clock that stands still (rate 0). The product has 128 bits: `t - base_in` times a rate
//! of 32.32 bits does not fit into 64.
//!
//! The line is read between two looks at `seq`, and the whole is done again when `seq` has changed: whoever was
//! stopped in the middle while the line was replaced must not compute with half of each. Nobody ever has to wait for
//! a writer: lines are replaced while every thread is stopped.
//!
//! Assembled here, but data to us: it is copied into other processes and never runs in ours.

use serde::{Deserialize, Serialize};

/// A rate of one: 32.32 bits.
pub(super) const RATE_ONE: i64 = 1 << 32;

/// A straight line from true time to told time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Line {
    /// A moment, in nanoseconds since 1970.
    pub(super) base_in_ns: i64,
    /// What is told at that moment.
    pub(super) base_out_ns: i64,
    /// How many told seconds pass in a true one, in 2^-32.
    pub(super) rate: i64,
}

impl Line {
    /// The true time.
    pub(super) const TRUE: Self = Self { base_in_ns: 0, base_out_ns: 0, rate: RATE_ONE };

    fn words(&self) -> [i64; 3] {
        [self.base_in_ns, self.base_out_ns, self.rate]
    }
}

/// Where the code's three entries are, from its beginning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Code {
    bytes: &'static [u8],
    line_at: usize,
    pub(super) clock_gettime_at: usize,
    pub(super) gettimeofday_at: usize,
    pub(super) time_at: usize,
}

/// The number of this replacement, and the line.
const LINE_BYTES: usize = 32;

impl Code {
    /// How long it is, with its line at the end.
    pub(super) const fn len(&self) -> usize {
        self.bytes.len()
    }

    /// The part that is the same in every process.
    pub(super) fn fixed(&self) -> &'static [u8] {
        &self.bytes[..self.line_at]
    }

    /// The part that is the line, by its place.
    pub(super) const fn line_at(&self) -> usize {
        self.line_at
    }

    /// The bytes of a line that comes after the one in `before`.
    pub(super) fn line_after(&self, before: &[u8], line: &Line) -> Vec<u8> {
        let seq = before.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes));
        let mut bytes = seq.wrapping_add(1).to_le_bytes().to_vec();
        bytes.extend(line.words().into_iter().flat_map(i64::to_le_bytes));
        debug_assert_eq!(bytes.len(), LINE_BYTES);
        bytes
    }

    /// Whether these bytes hold this line.
    pub(super) fn holds(bytes: &[u8], line: &Line) -> bool {
        bytes
            .get(8..)
            .is_some_and(|found| found.iter().copied().eq(line.words().into_iter().flat_map(i64::to_le_bytes)))
    }
}

#[cfg(target_arch = "x86_64")]
mod x86_64 {
    // 228 is clock_gettime, 96 gettimeofday. A system call changes rax, rcx and r11; the caller of a function expects
    // those, rdx, rsi, rdi and r8 to r10 to be changed, and nothing else.
    core::arch::global_asm!(
        r#"
        // rax: true nanoseconds; gives told nanoseconds, changes rdx. No function: a call would leave an address of
        // ours on the stack, by which nobody could tell whether somebody is still in here.
        .macro schism_clock_told
        sub rax, qword ptr [rip + schism_clock_line + 8]
        imul qword ptr [rip + schism_clock_line + 24]
        shrd rax, rdx, 32
        add rax, qword ptr [rip + schism_clock_line + 16]
        .endm

        .pushsection .rodata.schism_clock, "a"
        .balign 64
        .globl schism_clock_code
        .hidden schism_clock_code
        .globl schism_clock_gettime
        .hidden schism_clock_gettime
        .globl schism_clock_gettimeofday
        .hidden schism_clock_gettimeofday
        .globl schism_clock_time
        .hidden schism_clock_time
        .globl schism_clock_line
        .hidden schism_clock_line
        .globl schism_clock_end
        .hidden schism_clock_end
    schism_clock_code:

    // int clock_gettime(clockid_t edi, struct timespec *rsi)
    schism_clock_gettime:
        test edi, edi                    // CLOCK_REALTIME
        jz 2f
        cmp edi, 5                       // CLOCK_REALTIME_COARSE
        je 2f
        mov eax, 228
        syscall
        ret
    2:  mov r8, qword ptr [rip + schism_clock_line]
        mov eax, 228
        syscall
        test eax, eax
        jnz 3f
        imul rax, qword ptr [rsi], 1000000000
        add rax, qword ptr [rsi + 8]
        schism_clock_told
        cmp r8, qword ptr [rip + schism_clock_line]
        jne 2b
        xor edx, edx
        mov ecx, 1000000000
        div rcx
        mov qword ptr [rsi], rax
        mov qword ptr [rsi + 8], rdx
        xor eax, eax
    3:  ret

    // int gettimeofday(struct timeval *rdi, struct timezone *rsi)
        .balign 16
    schism_clock_gettimeofday:
    4:  mov r8, qword ptr [rip + schism_clock_line]
        mov eax, 96
        syscall
        test rdi, rdi
        jz 5f
        test eax, eax
        jnz 5f
        imul rax, qword ptr [rdi], 1000000000
        imul rdx, qword ptr [rdi + 8], 1000
        add rax, rdx
        schism_clock_told
        cmp r8, qword ptr [rip + schism_clock_line]
        jne 4b
        xor edx, edx
        mov ecx, 1000000000
        div rcx
        mov qword ptr [rdi], rax
        mov eax, edx
        xor edx, edx
        mov ecx, 1000
        div ecx
        mov qword ptr [rdi + 8], rax
        xor eax, eax
    5:  ret

    // time_t time(time_t *rdi)
        .balign 16
    schism_clock_time:
        sub rsp, 24
        mov r9, rdi
    6:  mov r8, qword ptr [rip + schism_clock_line]
        xor edi, edi
        mov rsi, rsp
        mov eax, 228
        syscall
        imul rax, qword ptr [rsp], 1000000000
        add rax, qword ptr [rsp + 8]
        schism_clock_told
        cmp r8, qword ptr [rip + schism_clock_line]
        jne 6b
        add rsp, 24
        xor edx, edx
        mov ecx, 1000000000
        div rcx
        test r9, r9
        jz 7f
        mov qword ptr [r9], rax
    7:  ret

        .balign 32
    schism_clock_line:
        .quad 0, 0, 0, 0                 // seq, base_in, base_out, rate
    schism_clock_end:
        .popsection
        "#
    );

    unsafe extern "C" {
        safe static schism_clock_code: u8;
        safe static schism_clock_gettime: u8;
        safe static schism_clock_gettimeofday: u8;
        safe static schism_clock_time: u8;
        safe static schism_clock_line: u8;
        safe static schism_clock_end: u8;
    }

    pub(super) fn code() -> super::Code {
        let begin = &raw const schism_clock_code;
        let at = |label: *const u8| label.addr() - begin.addr();
        // SAFETY: the labels are in this order in one section, and nothing ever writes to it.
        let bytes = unsafe { std::slice::from_raw_parts(begin, at(&raw const schism_clock_end)) };
        super::Code {
            bytes,
            line_at: at(&raw const schism_clock_line),
            clock_gettime_at: at(&raw const schism_clock_gettime),
            gettimeofday_at: at(&raw const schism_clock_gettimeofday),
            time_at: at(&raw const schism_clock_time),
        }
    }
}

/// The code for this machine; `None` where there is none.
pub(super) fn code() -> Option<Code> {
    #[cfg(target_arch = "x86_64")]
    return Some(x86_64::code());
    #[cfg(not(target_arch = "x86_64"))]
    return None;
}
