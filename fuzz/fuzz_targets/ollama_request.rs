#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| crucible::fuzz::ollama_request(data));
