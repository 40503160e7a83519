//! Paths: their one normal form, and what has none.

use ringway_wire::uri::{Normalised, normalise};
use ringway_wire::{Rejection, UriOptions};

fn normal_with(path: &str, options: &UriOptions) -> Result<String, Rejection> {
    let mut out = String::from("kept");
    Ok(match normalise(path, options, &mut out)? {
        Normalised::Unchanged => {
            assert_eq!(out, "kept");
            path.to_owned()
        }
        Normalised::Rewritten => {
            assert!(out.starts_with("kept"));
            out.split_off(4)
        }
    })
}

fn normal(path: &str) -> Result<String, Rejection> {
    normal_with(path, &UriOptions::default())
}

#[test]
fn every_spelling_has_one_normal_form() {
    for (path, wanted) in [
        ("/", "/"),
        ("/a", "/a"),
        ("/a/", "/a/"),
        ("/a/b.c/d-e_f~g", "/a/b.c/d-e_f~g"),
        ("/a:b@c!d$e&f'g(h)i*j+k,l=m", "/a:b@c!d$e&f'g(h)i*j+k,l=m"),
        ("/.", "/"),
        ("/./", "/"),
        ("/./a", "/a"),
        ("/a/.", "/a/"),
        ("/a/./b", "/a/b"),
        ("/a/..", "/"),
        ("/a/../", "/"),
        ("/a/../b", "/b"),
        ("/a/b/..", "/a/"),
        ("/a/b/../..", "/"),
        ("/a/b/../../c", "/c"),
        ("/a/b/c/./../../g", "/a/g"),
        ("/...", "/..."),
        ("/..a", "/..a"),
        ("/a..", "/a.."),
        ("/.a", "/.a"),
        ("/.well-known/x", "/.well-known/x"),
        ("//", "/"),
        ("///", "/"),
        ("//a", "/a"),
        ("/a//b", "/a/b"),
        ("/a//", "/a/"),
        ("/a//../b", "/b"),
        ("/a/.//b", "/a/b"),
        ("/%41%5a%61%7a%30%39%2d%2e%5f%7e", "/AZaz09-._~"),
        ("/%2e/a", "/a"),
        ("/a/%2e%2e/b", "/b"),
        ("/a/%2E./b", "/b"),
        ("/a/.%2e", "/"),
        ("/%3f%23%25", "/%3F%23%25"),
        ("/a%20b", "/a%20b"),
        ("/100%25", "/100%25"),
        ("/%25/41", "/%25/41"),
        ("/%252", "/%252"),
        ("/%25%7e", "/%25~"),
        ("/%25g1", "/%25g1"),
        ("/%c3%a9", "/%C3%A9"),
        ("/%e2%82%ac", "/%E2%82%AC"),
        ("/%f0%9f%92%a9", "/%F0%9F%92%A9"),
        ("/%0a%0D%7f", "/%0A%0D%7F"),
        ("/{a}|\"b\"<c>^`", "/%7Ba%7D%7C%22b%22%3Cc%3E%5E%60"),
        ("/%7B", "/%7B"),
        ("/[a]", "/[a]"),
        ("/%5b", "/%5B"),
    ] {
        assert_eq!(normal(path).as_deref(), Ok(wanted), "{path}");
        assert_eq!(normal(wanted).as_deref(), Ok(wanted), "{wanted} again");
    }
}

#[test]
fn what_hides_another_path_is_refused() {
    use Rejection::*;
    for (path, rejection) in [
        ("/..", PathAboveRoot),
        ("/../", PathAboveRoot),
        ("/../a", PathAboveRoot),
        ("/a/../..", PathAboveRoot),
        ("/a/../../b", PathAboveRoot),
        ("/./..", PathAboveRoot),
        ("//..", PathAboveRoot),
        ("/%2e%2e/a", PathAboveRoot),
        ("/a/%2E%2E/%2e%2e/b", PathAboveRoot),
        ("/;", PathParameter),
        ("/a;b=c", PathParameter),
        ("/a;/b", PathParameter),
        ("/a%3bb", PathParameter),
        ("/a%3B", PathParameter),
        ("/..;/", PathParameter),
        ("/a/..%3b/b", PathParameter),
        ("/%2541", DoubleEncoding),
        ("/%252e%252e", DoubleEncoding),
        ("/%25%32%65", DoubleEncoding),
        ("/%2%35", BadPercentEncoding),
        ("/%25252e", DoubleEncoding),
        ("/a%252f../b", DoubleEncoding),
        ("/%25c0%25af", DoubleEncoding),
        ("/%25fF", DoubleEncoding),
        ("/%", BadPercentEncoding),
        ("/%4", BadPercentEncoding),
        ("/%4g", BadPercentEncoding),
        ("/%%41", BadPercentEncoding),
        ("/%u0041", BadPercentEncoding),
        ("/a%/b", BadPercentEncoding),
        ("/%4/1", BadPercentEncoding),
        ("/%+1", BadPercentEncoding),
        ("/%00", EncodedNul),
        ("/a%00.txt", EncodedNul),
        ("/%2f", EncodedSlash),
        ("/a%2Fb", EncodedSlash),
        ("/..%2f", EncodedSlash),
        ("/a%5cb", Backslash),
        ("/a%5Cb", Backslash),
        ("/a\\b", Backslash),
        ("/..\\a", Backslash),
        ("/%80", BadUtf8),
        ("/%ff", BadUtf8),
        ("/%c0%af", BadUtf8),
        ("/%c0%ae%c0%ae", BadUtf8),
        ("/%c1%81", BadUtf8),
        ("/%e0%80%af", BadUtf8),
        ("/%f0%80%80%af", BadUtf8),
        ("/%f4%90%80%80", BadUtf8),
        ("/%f5%80%80%80", BadUtf8),
        ("/%ed%a0%80", BadUtf8),
        ("/%c3", BadUtf8),
        ("/%c3a", BadUtf8),
        ("/%c3%41", BadUtf8),
        ("/%c3/%a9", BadUtf8),
        ("/%e2%82", BadUtf8),
        ("/%c3%a", BadPercentEncoding),
        ("", BadTarget),
        ("a", BadTarget),
        ("/a b", BadTarget),
        ("/a\tb", BadTarget),
        ("/a#b", BadTarget),
        ("/a?b", BadTarget),
        ("/\u{e9}", BadTarget),
        ("/\u{7f}", BadTarget),
    ] {
        assert_eq!(normal(path), Err(rejection), "{path}");
    }
}

#[test]
fn empty_segments_may_be_kept() {
    let options = UriOptions { merge_slashes: false, ..UriOptions::default() };
    for (path, wanted) in [
        ("//", "//"),
        ("//a", "//a"),
        ("/a//b", "/a//b"),
        ("/a//../b", "/a/b"),
        ("/a//", "/a//"),
        ("//..", "/"),
        ("//.", "//"),
    ] {
        assert_eq!(normal_with(path, &options).as_deref(), Ok(wanted), "{path}");
        assert_eq!(normal_with(wanted, &options).as_deref(), Ok(wanted), "{wanted} again");
    }
}

#[test]
fn kept_separators_stay_data_and_hide_no_dot_segment() {
    let options = UriOptions { keep_encoded_slash: true, keep_backslash: true, ..UriOptions::default() };
    for (path, wanted) in [
        ("/a%2fb", "/a%2Fb"),
        ("/a%2Fb/../c", "/c"),
        ("/a\\b", "/a%5Cb"),
        ("/a%5cb", "/a%5Cb"),
        ("/a%2f.b", "/a%2F.b"),
        ("/%2f", "/%2F"),
    ] {
        assert_eq!(normal_with(path, &options).as_deref(), Ok(wanted), "{path}");
    }
    for path in ["/a%2f..%2fb", "/..%2f", "/%2f..", "/a%5c..", "/..\\a", "/a%2F.", "/%2e%2e%2f"] {
        assert_eq!(normal_with(path, &options), Err(Rejection::HiddenDotSegment), "{path}");
    }
    let slash_only = UriOptions { keep_encoded_slash: true, ..UriOptions::default() };
    assert_eq!(normal_with("/a%5cb", &slash_only), Err(Rejection::Backslash));
    assert_eq!(normal_with("/a\\b", &slash_only), Err(Rejection::Backslash));
}

#[test]
fn kept_parameters_pass_as_they_are_and_hide_no_dot_segment() {
    let options = UriOptions { keep_parameters: true, ..UriOptions::default() };
    for (path, wanted) in [
        ("/a;b=c", "/a;b=c"),
        ("/a;b=c/../d;e", "/d;e"),
        ("/a%3bb", "/a%3Bb"),
        ("/;", "/;"),
        ("/a;..", "/a;.."),
        ("/a.;b", "/a.;b"),
        ("/a..;b", "/a..;b"),
    ] {
        assert_eq!(normal_with(path, &options).as_deref(), Ok(wanted), "{path}");
        assert_eq!(normal_with(wanted, &options).as_deref(), Ok(wanted), "{wanted} again");
    }
    for path in ["/..;/", "/..;a=b/", "/a/..;/b", "/a/.;/b", "/a/..%3b/b", "/a/..%3B", "/a/%2e%2e;x"] {
        assert_eq!(normal_with(path, &options), Err(Rejection::HiddenDotSegment), "{path}");
    }
}

#[test]
fn kept_double_encoding_is_not_decoded_twice() {
    let options = UriOptions { keep_double_encoding: true, ..UriOptions::default() };
    for (path, wanted) in
        [("/%252e%252e", "/%252e%252e"), ("/%25%32%65", "/%252e"), ("/%2541", "/%2541"), ("/%252F", "/%252F")]
    {
        assert_eq!(normal_with(path, &options).as_deref(), Ok(wanted), "{path}");
        assert_eq!(normal_with(wanted, &options).as_deref(), Ok(wanted), "{wanted} again");
    }
}
