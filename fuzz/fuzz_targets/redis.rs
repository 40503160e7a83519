//! Replies of a Redis: whole or refused, within their bound, however the bytes are cut.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| ringway_policies::fuzz::redis(data));
