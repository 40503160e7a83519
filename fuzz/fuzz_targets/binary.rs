//! Avro and Protocol Buffers: bytes become JSON or are refused.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| ringway_policies::fuzz::binary(data));
