//! API definitions and ringway.yaml: any bytes give a definition or problems with positions.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| ringway_config::fuzz::definition(data));
