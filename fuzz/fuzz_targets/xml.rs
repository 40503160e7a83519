//! XML bodies, schemas and stylesheets: what policies make of them can be read, in bounded time.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| ringway_policies::fuzz::xml(data));
