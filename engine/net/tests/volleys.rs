//! Sends to many sockets at once, on each driver.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::io::Read;
use std::os::unix::net::UnixStream;

use ringway_net::{Shot, Stream};
use support::{PATIENCE, on_each};

fn pairs(count: usize) -> (Vec<Stream>, Vec<UnixStream>) {
    let pair = |_| {
        let (ours, theirs) = UnixStream::pair().unwrap();
        theirs.set_read_timeout(Some(PATIENCE)).unwrap();
        (Stream::from_fd(ours.into()).unwrap(), theirs)
    };
    (0..count).map(pair).unzip()
}

#[test]
fn each_socket_gets_its_own_bytes_whatever_becomes_of_the_others() {
    on_each(|shard| async move {
        // More than a system call takes, and with a rest that is too few for one.
        let (streams, mut peers) = pairs(258);
        let says: Vec<String> = (0..streams.len()).map(|number| format!("for {number}")).collect();
        let aims = streams.iter().zip(&says).map(|(stream, says)| (stream.aim().unwrap(), says.as_bytes()));
        let mut shots: Vec<Shot<'_>> = aims.map(|(to, bytes)| Shot { to, bytes }).collect();
        // It is gone, and this one has no room for all of that.
        peers[7].shutdown(std::net::Shutdown::Both).unwrap();
        let more = vec![b'x'; 8 * 1024 * 1024];
        shots[70].bytes = &more;
        for time in 1..=2 {
            let mut taken = Vec::new();
            shard.volley.send(&shots, &mut taken);
            assert_eq!(taken.len(), shots.len());
            for (number, (taken, shot)) in taken.iter().zip(&shots).enumerate() {
                match number {
                    7 => assert_eq!(*taken, 0),
                    70 => assert!(*taken < more.len() && (time == 1) == (*taken > 0), "{taken}"),
                    _ => assert_eq!(*taken, shot.bytes.len(), "{number}"),
                }
            }
        }
        for (number, (peer, says)) in
            peers.iter_mut().zip(&says).enumerate().filter(|(number, _)| ![7, 70].contains(number))
        {
            let mut heard = vec![0; says.len() * 2 + 1];
            let count = peer.read(&mut heard).unwrap();
            assert_eq!(String::from_utf8_lossy(&heard[..count]), says.repeat(2), "{number}");
        }
    });
}

#[test]
fn nothing_is_sent_to_nobody() {
    on_each(|shard| async move {
        let mut taken = vec![3];
        shard.volley.send(&[], &mut taken);
        assert_eq!(taken, [3], "it is added to");
    });
}
