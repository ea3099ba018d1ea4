//! Hands the fuzzer's inputs to the target `condition`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| taskhost_fuzz_targets::condition::run(data));
