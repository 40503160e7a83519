//! PROXY protocol headers, version 1 and 2.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| ringway_wire::fuzz::proxy_protocol(data));
