//! Fixed arrays with a filled part, for records: lent while there is ciphertext and taken back at once.
//!
//! ```text
//!   0        start          end             len
//!   | done   | filled       | spare         |
//! ```

use std::cell::RefCell;
use std::io;
use std::mem::MaybeUninit;

use monoio::buf::IoBuf;

use crate::socket::Socket;

/// Holds any one record: 5 + 2^14 + 2048 bytes (RFC 5246 section 6.2.3), rounded up.
pub(crate) const RECORD_BYTES: usize = 18 * 1024 + 512;
/// Holds seven full records.
pub(crate) const BULK_BYTES: usize = 128 * 1024;

/// 4.6 MiB.
const RECORDS_KEPT_MAX: usize = 256;
/// 8 MiB.
const BULKS_KEPT_MAX: usize = 64;

/// An array, always initialised, and the part of it that is filled.
pub(crate) struct Window {
    bytes: Box<[u8]>,
    start: usize,
    end: usize,
}

impl Window {
    fn new(bytes: usize) -> Self {
        Self { bytes: vec![0; bytes].into_boxed_slice(), start: 0, end: 0 }
    }

    pub(crate) fn len(&self) -> usize {
        self.end - self.start
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.start == self.end
    }

    pub(crate) fn capacity(&self) -> usize {
        self.bytes.len()
    }

    pub(crate) fn filled(&self) -> &[u8] {
        &self.bytes[self.start..self.end]
    }

    pub(crate) fn filled_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[self.start..self.end]
    }

    pub(crate) fn spare_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[self.end..]
    }

    pub(crate) fn commit(&mut self, count: usize) {
        self.end = (self.end + count).min(self.bytes.len());
    }

    /// Takes `count` bytes off the front.
    pub(crate) fn advance(&mut self, count: usize) {
        self.start = (self.start + count).min(self.end);
        if self.start == self.end {
            self.start = 0;
            self.end = 0;
        }
    }

    /// Appends what fits and says how much that was.
    pub(crate) fn append(&mut self, bytes: &[u8]) -> usize {
        let count = bytes.len().min(self.bytes.len() - self.end);
        self.bytes[self.end..self.end + count].copy_from_slice(&bytes[..count]);
        self.end += count;
        count
    }

    /// Moves the filled part to the front.
    pub(crate) fn compact(&mut self) {
        if self.start > 0 {
            self.bytes.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
    }

    /// Receives what is there now into the spare part. `None` when there is nothing.
    pub(crate) fn recv_now(&mut self, socket: &Socket) -> io::Result<Option<usize>> {
        let spare = self.spare_mut();
        // SAFETY: the same bytes; `recv_now` only ever writes what the kernel filled, so they stay initialised.
        let spare = unsafe { &mut *(std::ptr::from_mut(spare) as *mut [MaybeUninit<u8>]) };
        let received = socket.recv_now(spare, false)?;
        self.commit(received.unwrap_or(0));
        Ok(received)
    }
}

// SAFETY: the bytes are on the heap and do not move with the window, and nobody else has it while the runtime does.
unsafe impl IoBuf for Window {
    fn read_ptr(&self) -> *const u8 {
        self.filled().as_ptr()
    }

    fn bytes_init(&self) -> usize {
        self.len()
    }
}

/// The windows of a shard.
pub(crate) struct Windows {
    records: RefCell<Vec<Window>>,
    bulks: RefCell<Vec<Window>>,
}

impl Windows {
    pub(crate) fn new() -> Self {
        Self { records: RefCell::default(), bulks: RefCell::default() }
    }

    /// An empty window for one record.
    pub(crate) fn take_record(&self) -> Window {
        self.records.borrow_mut().pop().unwrap_or_else(|| Window::new(RECORD_BYTES))
    }

    /// An empty window for several records.
    pub(crate) fn take_bulk(&self) -> Window {
        self.bulks.borrow_mut().pop().unwrap_or_else(|| Window::new(BULK_BYTES))
    }

    pub(crate) fn put(&self, mut window: Window) {
        let (kept, kept_max) = match window.capacity() {
            RECORD_BYTES => (&self.records, RECORDS_KEPT_MAX),
            _ => (&self.bulks, BULKS_KEPT_MAX),
        };
        let mut kept = kept.borrow_mut();
        if kept.len() < kept_max {
            window.advance(window.len());
            kept.push(window);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{RECORD_BYTES, Windows};

    #[test]
    fn a_window_fills_behind_and_empties_in_front() {
        let windows = Windows::new();
        let mut window = windows.take_record();
        assert_eq!(window.append(&[1; RECORD_BYTES + 5]), RECORD_BYTES, "what fits");
        window.advance(RECORD_BYTES - 2);
        assert_eq!((window.filled().len(), window.spare_mut().len()), (2, 0));
        window.compact();
        assert_eq!((window.filled().len(), window.spare_mut().len()), (2, RECORD_BYTES - 2));
        windows.put(window);
        assert!(windows.take_record().is_empty(), "what is lent again is empty");
    }
}
