//! Hands the fuzzer's inputs to the target `component_loader`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| taskhost_fuzz_targets::component_loader::run(data));
