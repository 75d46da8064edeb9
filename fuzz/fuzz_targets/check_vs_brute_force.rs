#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| schism_fuzz::check_vs_brute_force(data));
