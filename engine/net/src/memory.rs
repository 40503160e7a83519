//! Memory: how large its pages are, and what a burst has left behind.

/// Gives back to the system what the allocator of this thread has kept for a while without need. It walks the thread's pages (some
/// 10 microseconds), so it is for housekeeping after many connections have been parked or closed. The allocator gives nothing back
/// of its own accord on a shard that has become quiet.
///
/// Where another allocator than mimalloc is the global one, nothing happens.
pub fn give_back() {
    // SAFETY: no pointers; it looks at the calling thread's own heap, and a heap that was never used is empty.
    unsafe { libmimalloc_sys::mi_collect(false) };
}

/// Keeps the kernel from giving this process huge pages of its own accord, as it does where `transparent_hugepage` is set to `always`. A burst
/// of connections would turn every 2 MiB that it touches into memory that never goes back: with 512 requests under way the process weighs
/// 77 MB instead of 38, and a request costs as much (prctl(2), `PR_SET_THP_DISABLE`). A kernel that does not know how is left alone.
pub fn refuse_huge_pages() {
    // SAFETY: no pointers.
    unsafe { libc::prctl(libc::PR_SET_THP_DISABLE, 1, 0, 0, 0) };
}
