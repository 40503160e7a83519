//! HTML and selectors: whatever a page says, texts are found in it or not.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| ringway_policies::fuzz::html(data));
