//! The rules under which the runtime is used, and the shard's own promises.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::cell::Cell;
use std::future::poll_fn;
use std::io::Write;
use std::pin::pin;
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::task::{Context, Waker};
use std::time::{Duration, Instant};

use bytes::BytesMut;
use ringway_net::{
    Address, BoundListener, DialOptions, Driver, DriverChoice, Elapsed, Listener, ListenerOptions, Postage, Shard,
    ShardOptions, Signal, dial, pause, run_shard, sleep, spawn, until_closing, yield_now,
};
use support::{client, drivers, on_each, on_shard, peer, read_exact, rest};

/// Longer than anything here takes; only a hang meets it.
const PATIENCE: Duration = Duration::from_secs(20);

#[test]
fn the_driver_that_was_asked_for_runs() {
    let epoll = run_shard(ShardOptions { driver: DriverChoice::Epoll, ..ShardOptions::new(3) }, |shard| async move {
        assert_eq!(std::thread::current().name(), Some("shard-3"));
        assert!(Rc::ptr_eq(&shard, &Shard::current()));
        (shard.id, shard.driver)
    })
    .unwrap();
    assert_eq!(epoll.driver, Driver::Epoll);
    assert_eq!(epoll.join().unwrap(), (3, Driver::Epoll));
    if drivers().contains(&DriverChoice::Uring) {
        let uring =
            run_shard(ShardOptions { driver: DriverChoice::Uring, ..ShardOptions::new(0) }, |_| async {}).unwrap();
        println!("io_uring as {}", uring.driver.name());
        assert_ne!(uring.driver, Driver::Epoll);
        uring.join().unwrap();
    }
}

#[test]
fn a_write_is_posted_where_it_goes_on_by_itself() {
    for driver in drivers() {
        let (posts, driver) = on_shard(driver, |shard| async move { (Postage::of(100).is_some(), shard.driver) });
        assert_eq!(posts, driver != Driver::Epoll, "{driver:?}");
    }
}

#[test]
fn a_core_that_does_not_exist_is_refused() {
    let options = ShardOptions { core: Some(1000), ..ShardOptions::new(0) };
    assert!(run_shard(options, |_| async {}).is_err());
    let options = ShardOptions { core: Some(0), ..ShardOptions::new(0) };
    run_shard(options, |_| async {}).unwrap().join().unwrap();
}

#[test]
fn a_panic_of_the_main_future_reaches_join() {
    let shard = run_shard(ShardOptions::new(0), |_| async { panic!("main") }).unwrap();
    assert_eq!(shard.join().unwrap_err().downcast_ref(), Some(&"main"));
}

static REPORTED: AtomicUsize = AtomicUsize::new(0);

/// monoio catches nothing: without the guard, one panic would end the shard and all its connections.
#[test]
fn a_panic_ends_one_task_only() {
    struct PanicsInDrop;
    impl Drop for PanicsInDrop {
        fn drop(&mut self) {
            panic!("in drop");
        }
    }
    for driver in drivers() {
        REPORTED.store(0, Ordering::Relaxed);
        let options = ShardOptions {
            driver,
            on_panic: |_, message| {
                assert!(["boom 7", "later", "in drop"].contains(&message), "{message}");
                REPORTED.fetch_add(1, Ordering::Relaxed);
            },
            ..ShardOptions::new(0)
        };
        let main = |shard: Rc<Shard>| async move {
            let seven = 7;
            spawn(async move { panic!("boom {seven}") });
            spawn(async {
                sleep(Duration::from_millis(1)).await;
                panic!("later")
            });
            spawn(async {
                let _panics = PanicsInDrop;
            });
            let done = Rc::new(Cell::new(false));
            let other = Rc::clone(&done);
            spawn(async move {
                sleep(Duration::from_millis(5)).await;
                other.set(true);
            });
            while shard.tasks() > 0 {
                yield_now().await;
            }
            (shard.panics(), done.get())
        };
        assert_eq!(run_shard(options, main).unwrap().join().unwrap(), (3, true));
        assert_eq!(REPORTED.load(Ordering::Relaxed), 3);
    }
}

/// monoio fires timers only when its queue is empty. A task that steps aside with `yield_now` lets it become empty; one
/// that woke itself would run alone for ever.
#[test]
fn tasks_that_always_have_work_starve_neither_timers_nor_sockets() {
    for driver in drivers() {
        let (address, peer) = peer(|mut stream| {
            stream.write_all(b"hello").unwrap();
            rest(&mut stream)
        });
        on_shard(driver, move |shard| async move {
            let over = Rc::new(Cell::new(false));
            for _ in 0..100 {
                let over = Rc::clone(&over);
                spawn(async move {
                    while !over.get() {
                        yield_now().await;
                    }
                });
            }
            let stream = dial(&address, &DialOptions::default()).await.unwrap();
            assert_eq!(read_exact(&stream, 5).await, "hello");
            sleep(Duration::from_millis(10)).await;
            let slot = shard.timers.slot();
            slot.arm(Duration::from_millis(100));
            assert_eq!(slot.guard(std::future::pending::<()>()).await, Err(Elapsed));
            over.set(true);
        });
        peer.join().unwrap();
    }
}

/// A flood of tasks that are all ready at once is worked off, and then timers fire.
#[test]
fn a_flood_of_ready_tasks_ends() {
    on_each(|shard| async move {
        let ran = Rc::new(Cell::new(0));
        for _ in 0..50_000 {
            let ran = Rc::clone(&ran);
            spawn(async move { ran.set(ran.get() + 1) });
        }
        sleep(Duration::from_millis(1)).await;
        assert_eq!((ran.get(), shard.tasks()), (50_000, 0));
    });
}

#[test]
fn the_end_of_a_shard_closes_what_its_tasks_hold() {
    for driver in drivers() {
        let bound =
            BoundListener::bind(&Address::Tcp("127.0.0.1:0".parse().unwrap()), &ListenerOptions::default()).unwrap();
        let address = bound.local_addr().unwrap().unwrap();
        let client = client(address, |mut stream| {
            stream.write_all(b"hello").unwrap();
            rest(&mut stream)
        });
        on_shard(driver, move |shard| async move {
            let listener = Listener::from_bound(bound).unwrap();
            let served = Rc::new(Signal::new());
            let signal = Rc::clone(&served);
            // An accept loop and a connection without an end of their own.
            spawn(async move {
                while let Ok(accepted) = listener.accept().await {
                    let signal = Rc::clone(&signal);
                    spawn(async move {
                        let stream = accepted.open().unwrap();
                        read_exact(&stream, 5).await;
                        signal.set();
                        let (result, _) = stream.read(BytesMut::with_capacity(100)).await;
                        assert_eq!(result.unwrap(), 0);
                    });
                }
            });
            served.wait().await;
            assert_eq!((shard.tasks(), shard.sockets()), (2, 1));
        });
        assert!(client.join().unwrap().is_empty(), "the client sees the end");
        std::net::TcpStream::connect(address).unwrap_err();
    }
}

#[test]
fn what_goes_on_for_as_long_as_the_shard_ends_with_it() {
    for driver in drivers() {
        let (ended, end) = mpsc::channel();
        on_shard(driver, move |_| async move {
            for _ in 0..3 {
                let ended = ended.clone();
                spawn(async move {
                    let slept = pause(Duration::from_secs(3600)).await;
                    ended.send(slept).unwrap();
                });
            }
            spawn(async move {
                let done = until_closing(std::future::pending::<()>()).await;
                ended.send(done.is_some()).unwrap();
            });
            assert!(pause(Duration::from_millis(1)).await, "a shard that goes on lets its tasks sleep");
        });
        assert_eq!(end.iter().collect::<Vec<_>>(), [false; 4], "every task has ended, and none by its own time");
    }
}

#[test]
fn a_future_that_goes_to_another_task_in_its_sleep_wakes_that_one() {
    on_each(|_| async {
        let mut nap = Box::pin(sleep(Duration::from_millis(20)));
        let mut elsewhere = Context::from_waker(Waker::noop());
        assert!(nap.as_mut().poll(&mut elsewhere).is_pending());
        let mut late = pin!(sleep(PATIENCE));
        poll_fn(|context| {
            // Asked first: whatever wakes this task then is the other timer.
            assert!(late.as_mut().poll(context).is_pending(), "nobody was woken");
            nap.as_mut().poll(context)
        })
        .await;
    });
}

#[test]
fn a_guard_ends_at_its_deadline_or_with_its_future() {
    on_each(|shard| async move {
        let slot = shard.timers.slot();
        slot.arm(Duration::from_secs(3600));
        assert_eq!(slot.guard(async { 1 }).await, Ok(1));
        assert!(!slot.expired());

        let start = Instant::now();
        slot.arm(Duration::from_millis(150));
        assert_eq!(slot.guard(std::future::pending::<()>()).await, Err(Elapsed));
        assert!(start.elapsed() >= Duration::from_millis(150), "never early");
        assert!(slot.expired());
        slot.disarm();
        assert!(!slot.expired());
        assert_eq!(slot.guard(sleep(Duration::from_millis(250))).await, Ok(()), "not armed, no end");
    });
}

#[test]
fn a_deadline_can_be_moved_either_way() {
    on_each(|shard| async move {
        let slot = shard.timers.slot();
        slot.arm(Duration::from_millis(100));
        slot.arm(Duration::from_secs(3600));
        assert_eq!(slot.guard(sleep(Duration::from_millis(300))).await, Ok(()));
        slot.arm(Duration::from_millis(1));
        assert_eq!(slot.guard(std::future::pending::<()>()).await, Err(Elapsed));
        slot.arm(Duration::MAX);
        assert!(!slot.expired());
    });
}

#[test]
fn slots_are_used_again() {
    on_each(|shard| async move {
        let before = shard.timers.slots();
        let slots: Vec<_> = (0..1000).map(|_| shard.timers.slot()).collect();
        slots.iter().for_each(|slot| slot.arm(Duration::from_millis(1)));
        for slot in &slots {
            assert_eq!(slot.guard(std::future::pending::<()>()).await, Err(Elapsed));
        }
        assert_eq!(shard.timers.slots(), before + 1000);
        drop(slots);
        assert_eq!(shard.timers.slots(), before);
        assert!(!shard.timers.slot().expired(), "a new slot has no past");
    });
}
