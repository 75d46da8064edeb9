#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| schism_fuzz::transactions(data));
