//! Hands the fuzzer's inputs to the target `descriptor`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| taskhost_fuzz_targets::descriptor::run(data));
