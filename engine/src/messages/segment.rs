//! Bytes that many clients get, made once.

use bytes::{Buf, Bytes, BytesMut};
use ringway_wire::chunk;

/// Size of a page.
const PAGE_BYTES: usize = 64 * 1024;
/// Room at least with which a segment begins: less, and it is better begun on a new page than moved there.
const ROOM_BYTES_MIN: usize = 8 * 1024;

/// Whole messages in one format.
///
/// ```text
///   8 2 \r \n  messages  \r \n        one chunk of a chunked body (RFC 9112 section 7.1), or without its frame
///   └ head ─┘            └───┘
/// ```
#[derive(Clone, Debug)]
pub struct Segment {
    framed: Bytes,
    head_bytes: usize,
}

/// Bytes behind a chunk's data.
const TAIL_BYTES: usize = 2;

impl Segment {
    /// Bytes of the messages.
    pub fn len(&self) -> usize {
        self.framed.len() - self.head_bytes - TAIL_BYTES
    }

    /// What is sent.
    pub fn as_slice(&self, chunked: bool) -> &[u8] {
        let (head, tail) = self.frame(chunked);
        self.framed.get(head..tail).unwrap_or_default()
    }

    /// What is sent, from `start` on.
    pub fn bytes(&self, chunked: bool, start: usize) -> Bytes {
        let (head, tail) = self.frame(chunked);
        self.framed.slice((head + start).min(tail)..tail)
    }

    fn frame(&self, chunked: bool) -> (usize, usize) {
        if chunked { (0, self.framed.len()) } else { (self.head_bytes, self.framed.len() - TAIL_BYTES) }
    }
}

/// Where segments are made, one behind the other. When nobody has any of them left, their room is used again.
#[derive(Default)]
pub struct Page(BytesMut);

impl Page {
    /// Where the messages of the present segment are appended.
    pub fn room(&mut self) -> &mut BytesMut {
        if self.0.is_empty() {
            if self.0.capacity() == 0 {
                self.0 = BytesMut::with_capacity(PAGE_BYTES);
            }
            self.0.reserve(ROOM_BYTES_MIN);
            // How long the head is shows at the end.
            self.0.resize(chunk::HEAD_BYTES_MAX, 0);
        }
        &mut self.0
    }

    /// Ends the present segment. `None`: nothing was appended.
    pub fn cut(&mut self) -> Option<Segment> {
        let page = &mut self.0;
        let bytes = page.len().saturating_sub(chunk::HEAD_BYTES_MAX);
        if bytes == 0 {
            page.clear();
            return None;
        }
        let mut head = BytesMut::with_capacity(chunk::HEAD_BYTES_MAX);
        chunk::head(bytes as u64, &mut head);
        let unused = chunk::HEAD_BYTES_MAX - head.len();
        if let Some(place) = page.get_mut(unused..chunk::HEAD_BYTES_MAX) {
            place.copy_from_slice(&head);
        }
        chunk::tail(page);
        let mut framed = page.split();
        if framed.len() > PAGE_BYTES {
            // The room of a large segment goes with it.
            *page = BytesMut::new();
        }
        framed.advance(unused);
        Some(Segment { framed: framed.freeze(), head_bytes: head.len() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(page: &mut Page, text: &[u8]) -> Segment {
        page.room().extend_from_slice(text);
        page.cut().unwrap()
    }

    #[test]
    fn a_segment_is_a_chunk_or_its_data() {
        let mut page = Page::default();
        assert!(page.cut().is_none());
        page.room();
        assert!(page.cut().is_none());
        for (text, head) in [(&b"x"[..], "1\r\n"), (&[b'y'; 300][..], "12c\r\n"), (&[b'z'; 70_000][..], "11170\r\n")] {
            let segment = cut(&mut page, text);
            assert_eq!((segment.len(), segment.as_slice(false)), (text.len(), text));
            assert_eq!(segment.as_slice(true), [head.as_bytes(), text, b"\r\n"].concat());
            for chunked in [false, true] {
                let whole = segment.as_slice(chunked);
                for start in [0, 1, whole.len() - 1, whole.len()] {
                    assert_eq!(segment.bytes(chunked, start), whole[start..]);
                }
            }
        }
    }

    #[test]
    fn room_that_nobody_reads_any_more_is_used_again() {
        let mut page = Page::default();
        let first = cut(&mut page, &[b'a'; 1000]);
        let address = first.framed.as_ptr();
        drop(first);
        for _ in 0..1000 {
            let segment = cut(&mut page, &[b'b'; 1000]);
            let offset = (segment.framed.as_ptr() as usize).wrapping_sub(address as usize);
            assert!(offset < PAGE_BYTES, "the same page");
        }
        let kept = cut(&mut page, b"kept");
        (0..1000).for_each(|_| drop(cut(&mut page, &[b'c'; 1000])));
        assert_eq!(kept.as_slice(false), b"kept");
    }
}
