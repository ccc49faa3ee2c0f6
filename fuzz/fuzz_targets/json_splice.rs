#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| crucible::fuzz::json_splice(data));
