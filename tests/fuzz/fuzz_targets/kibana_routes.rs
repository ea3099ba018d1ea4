//! Hands the fuzzer's inputs to the target `kibana_routes`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| taskhost_fuzz_targets::kibana_routes::run(data));
