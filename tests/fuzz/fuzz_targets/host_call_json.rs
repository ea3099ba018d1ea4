//! Hands the fuzzer's inputs to the target `host_call_json`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| taskhost_fuzz_targets::host_call_json::run(data));
