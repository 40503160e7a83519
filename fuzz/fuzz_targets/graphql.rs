//! Requests of GraphQL are measured or refused, in bounded time.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| ringway_policies::fuzz::graphql(data));
