//! One thread that polls one task at a time. Which of those that can go on is next is the caller's choice: the seed's.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Wake, Waker};

type Task = Pin<Box<dyn Future<Output = ()>>>;

#[derive(Default)]
pub(super) struct Executor {
    /// The task, `None` while it is polled, and its waker: always the same, so that who waits is known again.
    tasks: RefCell<BTreeMap<u64, (Option<Task>, Waker)>>,
    ready: Arc<Mutex<Vec<u64>>>,
    next: Cell<u64>,
}

struct Awake {
    task: u64,
    ready: Arc<Mutex<Vec<u64>>>,
}

impl Wake for Awake {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let mut ready = self.ready.lock().unwrap_or_else(PoisonError::into_inner);
        if !ready.contains(&self.task) {
            ready.push(self.task);
        }
    }
}

impl Executor {
    pub(super) fn spawn(&self, task: Task) {
        let id = self.next.get();
        self.next.set(id + 1);
        let waker = Waker::from(Arc::new(Awake { task: id, ready: Arc::clone(&self.ready) }));
        waker.wake_by_ref();
        self.tasks.borrow_mut().insert(id, (Some(task), waker));
    }

    /// Polls one of the tasks that can go on. `false` when none can.
    pub(super) fn turn(&self, choose: impl FnOnce(usize) -> usize) -> bool {
        let id = {
            let mut ready = self.ready.lock().unwrap_or_else(PoisonError::into_inner);
            if ready.is_empty() {
                return false;
            }
            let chosen = choose(ready.len()) % ready.len();
            ready.remove(chosen)
        };
        let Some((mut task, waker)) =
            self.tasks.borrow_mut().get_mut(&id).and_then(|(task, waker)| Some((task.take()?, waker.clone())))
        else {
            return true;
        };
        let ended = task.as_mut().poll(&mut Context::from_waker(&waker)).is_ready();
        if ended {
            self.tasks.borrow_mut().remove(&id);
            drop(task);
        } else if let Some((place, _)) = self.tasks.borrow_mut().get_mut(&id) {
            *place = Some(task);
        }
        true
    }

    /// Drops every task.
    pub(super) fn clear(&self) {
        // One after another, and outside the borrow: a task that is dropped may look for others.
        while let Some((_, task)) = { self.tasks.borrow_mut().pop_first() } {
            drop(task);
        }
    }
}
