//! Tokens: what nobody signed is read or refused, and never taken for a signed one.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| ringway_policies::fuzz::token(data));
