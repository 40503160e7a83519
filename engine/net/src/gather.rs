//! Several buffers in one write, without copying them together.

use std::cell::RefCell;

use bytes::{Bytes, BytesMut};
use monoio::buf::IoVecBuf;

/// Parts of one vectored write at most.
pub(crate) const PARTS: usize = 3;
/// Vectors that a shard keeps for later.
const IOVECS_KEPT_MAX: usize = 256;

/// Bytes that stay where they are when their owner moves.
///
/// # Safety
/// `as_ref` must return the same address and length for as long as nobody has a `&mut` to the value, wherever it is
/// moved.
pub unsafe trait Stable: AsRef<[u8]> + Unpin + 'static {}

// SAFETY: the bytes are on the heap, and moving a `BytesMut` moves only its handle.
unsafe impl Stable for BytesMut {}
// SAFETY: as for `BytesMut`, or static.
unsafe impl Stable for Bytes {}
// SAFETY: static.
unsafe impl Stable for &'static [u8] {}

/// The iovec of an operation. On the heap because the kernel reads it when the operation is submitted, which is after
/// the operation has been moved.
pub(crate) type Iovec = Box<[libc::iovec; PARTS]>;

/// Iovecs to lend.
pub(crate) struct Iovecs(RefCell<Vec<Iovec>>);

impl Iovecs {
    pub(crate) fn new() -> Self {
        Self(RefCell::new(Vec::with_capacity(IOVECS_KEPT_MAX)))
    }

    pub(crate) fn take(&self) -> Iovec {
        const EMPTY: libc::iovec = libc::iovec { iov_base: std::ptr::null_mut(), iov_len: 0 };
        self.0.borrow_mut().pop().unwrap_or_else(|| Box::new([EMPTY; PARTS]))
    }

    pub(crate) fn put(&self, iovec: Iovec) {
        let mut kept = self.0.borrow_mut();
        if kept.len() < IOVECS_KEPT_MAX {
            kept.push(iovec);
        }
    }
}

/// Three parts and how much of them is written.
pub(crate) struct Gather<A, B, C> {
    pub(crate) parts: (A, B, C),
    pub(crate) iovec: Iovec,
    count: usize,
}

impl<A: Stable, B: Stable, C: Stable> Gather<A, B, C> {
    pub(crate) fn new(parts: (A, B, C), iovec: Iovec) -> Self {
        let mut gather = Self { parts, iovec, count: 0 };
        gather.point_past(0);
        gather
    }

    /// Points the iovec at what comes after the first `written` bytes. `false` when that is nothing.
    pub(crate) fn point_past(&mut self, mut written: usize) -> bool {
        let slices = [self.parts.0.as_ref(), self.parts.1.as_ref(), self.parts.2.as_ref()];
        self.count = 0;
        for slice in slices {
            let skip = written.min(slice.len());
            written -= skip;
            let rest = &slice[skip..];
            if !rest.is_empty() {
                self.iovec[self.count] = libc::iovec { iov_base: rest.as_ptr().cast_mut().cast(), iov_len: rest.len() };
                self.count += 1;
            }
        }
        self.count > 0
    }
}

// SAFETY: the iovec is on the heap and does not move; its entries point into `Stable` parts, which this owns and does
// not touch while the runtime has it, and there are `count` of them.
unsafe impl<A: Stable, B: Stable, C: Stable> IoVecBuf for Gather<A, B, C> {
    fn read_iovec_ptr(&self) -> *const libc::iovec {
        self.iovec.as_ptr()
    }

    fn read_iovec_len(&self) -> usize {
        self.count
    }
}

#[cfg(test)]
mod tests {
    use bytes::{Bytes, BytesMut};

    use super::{Gather, Iovecs};

    #[test]
    fn a_short_write_goes_on_where_it_stopped() {
        let whole = b"head\r\nbody of it\r\n";
        for written in 0..=whole.len() {
            let parts = (BytesMut::from("head\r\n"), Bytes::from_static(b"body of it"), b"\r\n" as &'static [u8]);
            let mut gather = Gather::new(parts, Iovecs::new().take());
            assert_eq!(gather.point_past(written), written < whole.len());
            let mut rest = Vec::<u8>::new();
            for entry in &gather.iovec[..gather.count] {
                // SAFETY: the entries point into the parts, which are alive.
                rest.extend_from_slice(unsafe { std::slice::from_raw_parts(entry.iov_base.cast(), entry.iov_len) });
            }
            assert_eq!(rest, &whole[written..]);
        }
    }
}
