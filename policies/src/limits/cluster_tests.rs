use super::*;

fn answer(uses: i64, left: i64, ms: i64, window: &'static [u8]) -> Reply {
    Reply::List(vec![Reply::Int(uses), Reply::Int(left), Reply::Int(ms), Reply::Bytes(Bytes::from_static(window))])
}

#[test]
fn an_answer_is_taken_for_no_more_than_was_asked() {
    let wanted = Taken { uses: 10, left: 90, ends_ms: 1_500, window: Bytes::from_static(b"w") };
    assert_eq!(taken(answer(10, 90, 500, b"w"), 10, 60_000, 1_000), Some(wanted));
    // A key without an end, or with one that is too late.
    assert_eq!(taken(answer(0, 0, -1, b"w"), 10, 60_000, 1_000).map(|it| it.ends_ms), Some(1_000));
    assert_eq!(taken(answer(0, 0, i64::MAX, b"w"), 10, 60_000, 1_000).map(|it| it.ends_ms), Some(61_000));
    for wrong in [
        answer(11, 90, 500, b"w"),
        answer(-1, 90, 500, b"w"),
        answer(1, -90, 500, b"w"),
        answer(1, 1, 1, &[b'w'; 65]),
        Reply::Nil,
        Reply::Int(1),
        Reply::List(Vec::new()),
        Reply::List(vec![Reply::Nil, Reply::Nil, Reply::Nil, Reply::Nil]),
    ] {
        assert_eq!(taken(wrong.clone(), 10, 60_000, 1_000), None, "{wrong:?}");
    }
}

#[test]
fn a_lease_covers_its_window_and_a_clock_that_is_set_back_ends_it() {
    let of = Use { key: Key::of(&1), limit: 5000, now_ms: 10_000_000, ends_ms: 10_060_000, weight: 1 };
    let lease = Lease { ends_ms: of.ends_ms, ..Lease::empty(&of) };
    for (now_ms, covered) in
        [(10_000_000, true), (9_999_500, true), (9_990_000, false), (10_059_999, true), (10_060_000, false)]
    {
        assert_eq!(lease.covers(now_ms), covered, "{now_ms}");
    }
    assert!(!Lease::empty(&of).covers(of.now_ms), "one that is not there yet has no budget and no end");
}
