//! A directory's answers, however they are cut; filters, and names that stay values in them.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| ringway_policies::fuzz::directory(data));
