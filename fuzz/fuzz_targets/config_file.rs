#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| crucible_config::fuzz::config_file(data));
