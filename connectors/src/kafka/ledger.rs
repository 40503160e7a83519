//! What was handed over and not acknowledged, and so what may be committed.
//!
//! ```text
//!   handed over   17   18   20   21        offsets; 19 was compacted away
//!   acknowledged  17   18        21
//!                           └ commit 20: everything before it was delivered
//! ```

use std::collections::VecDeque;

/// Messages of one partition that may wait for a receipt. A client that acknowledges holds no more than its feed has room for; one that
/// never does (it comes back with a cursor) stops being accounted for here.
const OUTSTANDING_MAX: usize = 16 * 1024;

/// One partition.
#[derive(Debug, Default)]
pub struct Ledger {
    /// Offsets in order, and whether they were acknowledged.
    outstanding: VecDeque<(i64, bool)>,
    /// The next message to be read, if something may be committed that was not.
    due: Option<i64>,
    /// What was taken last.
    taken: Option<i64>,
    is_frozen: bool,
}

impl Ledger {
    /// A message is handed over; offsets grow.
    pub fn handed_over(&mut self, offset: i64) {
        if self.is_frozen {
            return;
        }
        // A topic that was made anew begins at 0 again.
        if self.outstanding.back().is_some_and(|(last, _)| *last >= offset) {
            self.outstanding.clear();
        }
        if self.outstanding.len() >= OUTSTANDING_MAX {
            self.is_frozen = true;
            self.outstanding = VecDeque::new();
            return;
        }
        self.outstanding.push_back((offset, false));
    }

    /// A message was delivered.
    pub fn acknowledged(&mut self, offset: i64) {
        let Ok(at) = self.outstanding.binary_search_by_key(&offset, |(offset, _)| *offset) else { return };
        if let Some((_, done)) = self.outstanding.get_mut(at) {
            *done = true;
        }
        while let Some((offset, true)) = self.outstanding.front() {
            self.due = Some(offset + 1);
            self.outstanding.pop_front();
        }
    }

    /// The group has come to `offset` without us: what lies before it is nobody's business any more.
    pub fn raise(&mut self, offset: i64) {
        while self.outstanding.front().is_some_and(|(first, _)| *first < offset) {
            self.outstanding.pop_front();
        }
        self.due = self.due.filter(|due| *due > offset);
        self.taken = None;
    }

    /// What is to be committed now: the offset of the next message. Told once.
    pub fn take_due(&mut self) -> Option<i64> {
        let due = self.due.take();
        self.taken = due.or(self.taken);
        due
    }

    /// The same at the end, where it is told again: whether an earlier commit arrived is not known.
    pub fn last_due(&self) -> Option<i64> {
        self.due.or(self.taken)
    }

    /// Whether receipts are waited for.
    pub fn is_waiting(&self) -> bool {
        !self.outstanding.is_empty()
    }

    /// Whether something is to be committed.
    pub fn is_due(&self) -> bool {
        self.due.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_has_no_gap_before_it_is_committed() {
        let mut ledger = Ledger::default();
        for offset in [17, 18, 20, 21] {
            ledger.handed_over(offset);
        }
        let table = [(21, None), (18, None), (17, Some(19)), (17, None), (99, None), (20, Some(22))];
        for (offset, due) in table {
            ledger.acknowledged(offset);
            assert_eq!(ledger.take_due(), due, "{offset}");
        }
        assert!(!ledger.is_due());
        assert_eq!(ledger.last_due(), Some(22));
        ledger.handed_over(22);
        ledger.acknowledged(22);
        assert!(ledger.is_due());
        assert_eq!(ledger.last_due(), Some(23));
    }

    #[test]
    fn what_the_group_has_done_without_us_is_not_undone() {
        let mut ledger = Ledger::default();
        (0..10).for_each(|offset| ledger.handed_over(offset));
        ledger.acknowledged(0);
        ledger.raise(5);
        assert_eq!(ledger.last_due(), None);
        ledger.acknowledged(3);
        assert!(!ledger.is_due());
        ledger.acknowledged(5);
        assert_eq!(ledger.take_due(), Some(6));
    }

    #[test]
    fn who_never_acknowledges_takes_no_memory_for_long() {
        let mut ledger = Ledger::default();
        for offset in 0..100_000 {
            ledger.handed_over(offset);
        }
        assert!(ledger.outstanding.capacity() <= 2 * OUTSTANDING_MAX);
        ledger.acknowledged(0);
        assert_eq!(ledger.take_due(), None);
    }
}
