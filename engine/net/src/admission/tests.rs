use std::cell::RefCell;
use std::future::Future;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use super::{Admission, AdmissionOptions, Admit};
use crate::driver::DriverChoice;
use crate::shard::{Shard, ShardOptions, run_shard};

/// Runs `test` on a shard.
fn on_a_shard<Fut: Future<Output = ()> + 'static>(test: impl FnOnce(Rc<Shard>) -> Fut + Send + 'static) {
    let options = ShardOptions {
        driver: DriverChoice::Epoll,
        admission: AdmissionOptions { limit: 2, arrivals: 1 },
        ..ShardOptions::new(0)
    };
    run_shard(options, test).unwrap().join().unwrap();
}

fn poll(admit: &mut Admit<'_>) -> Poll<bool> {
    std::pin::Pin::new(admit).poll(&mut Context::from_waker(Waker::noop()))
}

#[test]
fn without_a_limit_whoever_comes_begins() {
    on_a_shard(|shard| async move {
        let busy: Vec<_> = (0..1_000)
            .map(|_| {
                assert_eq!(poll(&mut shard.admit()), Poll::Ready(false));
                shard.busy()
            })
            .collect();
        assert_eq!(shard.admission.under_way(), 1_000);
        drop(busy);
        assert_eq!(shard.admission.under_way(), 0);
    });
}

#[test]
fn with_a_limit_they_begin_in_order_as_others_end() {
    on_a_shard(|shard| async move {
        shard.admission.set_limit(2);
        let mut busy = vec![shard.busy(), shard.busy()];
        let mut waiting: Vec<_> = (0..4).map(|_| shard.admit()).collect();
        assert!(waiting.iter_mut().all(|admit| poll(admit).is_pending()));
        // The third of them leaves before its turn.
        drop(waiting.remove(2));

        busy.pop();
        let called: Vec<_> = waiting.iter_mut().map(|admit| poll(admit)).collect();
        assert_eq!(called, [Poll::Ready(true), Poll::Pending, Poll::Pending]);
        busy.push(shard.busy());

        // Both end, both are followed, and the one that has left is passed over.
        busy.clear();
        let called: Vec<_> = waiting[1..].iter_mut().map(|admit| poll(admit)).collect();
        assert_eq!(called, [Poll::Ready(true), Poll::Ready(true)]);
    });
}

#[test]
fn who_is_called_and_does_not_come_is_followed_by_the_next() {
    on_a_shard(|shard| async move {
        shard.admission.set_limit(1);
        let busy = shard.busy();
        let (mut first, mut second) = (shard.admit(), shard.admit());
        assert!(poll(&mut first).is_pending() && poll(&mut second).is_pending());
        drop(busy);
        assert!(poll(&mut second).is_pending());
        drop(first);
        assert_eq!(poll(&mut second), Poll::Ready(true));
    });
}

#[test]
fn when_the_limit_goes_all_begin() {
    on_a_shard(|shard| async move {
        shard.admission.set_limit(0);
        let order = Rc::new(RefCell::new(Vec::new()));
        for number in 0..5 {
            let (shard, order) = (shard.clone(), order.clone());
            crate::spawn(async move {
                let waited = pin!(shard.admit()).await;
                order.borrow_mut().push((number, waited));
            });
        }
        while shard.admission.tickets() < 5 {
            crate::yield_now().await;
        }
        shard.admission.set_limit(u32::MAX);
        while order.borrow().len() < 5 {
            crate::yield_now().await;
        }
        assert_eq!(*order.borrow(), [(0, true), (1, true), (2, true), (3, true), (4, true)]);
    });
}

#[test]
fn a_crowd_that_comes_slowly_is_not_watched() {
    let admission = Admission::new(AdmissionOptions { limit: 1, arrivals: 3 });
    assert!(!(0..3).any(|_| admission.is_dense()), "the first time there is nothing to compare with");
    let long_ago = crate::clock::now().checked_sub(2 * super::DENSE_WITHIN);
    admission.asked.set(long_ago);
    assert!(!(0..3).any(|_| admission.is_dense()));
    admission.asked.set(Some(crate::clock::now() + super::DENSE_WITHIN));
    assert_eq!([admission.is_dense(), admission.is_dense(), admission.is_dense()], [false, false, true]);
}
