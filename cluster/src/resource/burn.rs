//! Loads that use up processor time and memory.

use std::time::{Duration, Instant};

use nix::libc;

/// The smallest that there are.
const PAGE: usize = 4096;
/// In each of these a thread is busy for its share, and rests for the rest.
const SLICE: Duration = Duration::from_millis(10);

/// Never returns.
pub(super) fn burn(threads: u32, busy_ppm: u32, nice: i32, ready: impl FnOnce()) -> std::io::Result<()> {
    // SAFETY: a plain system call; 0 is this process.
    if nice != 0 && unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, nice) } != 0 {
        return Err(std::io::Error::last_os_error());
    }
    // Threads inherit the priority of the one that starts them.
    for number in 1..threads {
        std::thread::Builder::new().name(format!("load {number}")).spawn(move || spin(busy_ppm))?;
    }
    ready();
    spin(busy_ppm)
}

fn spin(busy_ppm: u32) -> ! {
    let busy = SLICE.mul_f64(f64::from(busy_ppm) / 1e6);
    let mut slice = Instant::now();
    loop {
        let until = slice + busy;
        while Instant::now() < until {
            std::hint::spin_loop();
        }
        slice += SLICE;
        match slice.checked_duration_since(Instant::now()) {
            Some(rest) => std::thread::sleep(rest),
            // Others took its time: it does not catch up, or it would be busy without a rest for as long.
            None => slice = Instant::now(),
        }
    }
}

/// Never returns. Every page is written to, or the kernel would give none.
pub(super) fn occupy(bytes: u64, ready: impl FnOnce()) -> std::io::Result<()> {
    // If memory runs out all the same, the load and no server is what the kernel kills first.
    std::fs::write("/proc/self/oom_score_adj", "1000")?;
    let too_much = |_| std::io::Error::other(format!("{bytes} bytes are not to be had"));
    let length = usize::try_from(bytes).map_err(std::io::Error::other)?;
    // Whether it is to be had at all: a refusal below would be an abort without a word.
    Vec::<u8>::new().try_reserve_exact(length).map_err(too_much)?;
    let mut memory = vec![0_u8; length];
    touch(&mut memory);
    ready();
    loop {
        // Used now and then, so that it is not what the kernel swaps out first.
        std::thread::sleep(Duration::from_secs(5));
        touch(&mut memory);
    }
}

fn touch(memory: &mut [u8]) {
    memory.chunks_mut(PAGE).for_each(|page| page[0] = page[0].wrapping_add(1));
    std::hint::black_box(memory);
}
