//! JSON bodies: two readers agree, and what policies make of them can be read.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| ringway_policies::fuzz::json(data));
