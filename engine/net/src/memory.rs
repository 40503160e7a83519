//! Memory that a burst has left behind.

/// Gives back to the system what the allocator of this thread has kept for a while without need. It walks the thread's pages (some
/// 10 microseconds), so it is for housekeeping after many connections have been parked or closed. The allocator gives nothing back
/// of its own accord on a shard that has become quiet.
///
/// Where another allocator than mimalloc is the global one, nothing happens.
pub fn give_back() {
    // SAFETY: no pointers; it looks at the calling thread's own heap, and a heap that was never used is empty.
    unsafe { libmimalloc_sys::mi_collect(false) };
}
