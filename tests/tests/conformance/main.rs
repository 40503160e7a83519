//! The rules of RFC 9110, 9112 and 3986 that a proxy must keep, as conversations: a text file per theme, a case per rule.
//!
//! The format is that of `ringway_tests::script`. Every case is played byte for byte on both sides; after each, one more request
//! shows that nothing else has reached the backend.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "test code outside of test functions")]

mod spellings;

use ringway_tests::Stage;

macro_rules! themes {
    ($($name:ident),* $(,)?) => {
        $(#[test]
        fn $name() {
            Stage::play_all(include_str!(concat!(stringify!($name), ".txt")));
        })*
    };
}

themes! {
    request_line,
    host,
    fields,
    framing,
    chunks,
    expect,
    upgrade,
    bodiless,
    connection,
    forwarding,
    responses,
    smuggling,
    smuggled_chunks,
    paths,
    paths_kept,
}
