//! Hands the fuzzer's inputs to the target `ndjson`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| taskhost_fuzz_targets::ndjson::run(data));
