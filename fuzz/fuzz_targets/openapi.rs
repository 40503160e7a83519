//! OpenAPI documents, and bodies that are held against them.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| ringway_policies::fuzz::openapi(data));
