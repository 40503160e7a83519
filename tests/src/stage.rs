//! Where a [`Case`] is played: one gateway, one client and one backend that say what the script has them say.

use std::panic::{AssertUnwindSafe, catch_unwind};

use serde_json::json;

use crate::api::Api;
use crate::deadline::DEADLINE;
use crate::gateway::Gateway;
use crate::observer::Observer;
use crate::peer::Peer;
use crate::script::{Case, Script, Step};

/// Fields that the gateway adds to requests are off, so that what arrives can be compared to the byte; a script that is about
/// them says otherwise.
const BARE: &str = "http: { xForwarded: off, via: '', requestId: { header: '' }, transactionId: { header: '' } }\nlogging: { access: { enabled: false } }\n";

/// After each case this is asked: whatever was smuggled before it would arrive before it.
const LAST: &[u8] = b"GET /the-last-one HTTP/1.1\r\nHost: stage\r\n\r\n";

/// A gateway between a client and a backend.
pub struct Stage {
    gateway: Gateway,
    observer: Observer,
}

impl Stage {
    /// A gateway whose `ringway.yaml` has `settings`, with one API at `/` that passes the client's `Host` on.
    pub fn new(settings: &str) -> Stage {
        let observer = Observer::new();
        Stage { gateway: Stage::gateway(settings, &observer), observer }
    }

    /// The gateway of a stage, before `observer`.
    pub fn gateway(settings: &str, observer: &Observer) -> Gateway {
        let api = Api::proxy("/", &format!("http://{}", observer.address())).http("propagateClientHost", json!(true));
        let bare = if settings.contains("http:") { "" } else { BARE };
        Gateway::configured(&format!("{bare}{settings}"), &[api])
    }

    /// Plays every case of a script and tells all that went wrong.
    #[track_caller]
    pub fn play_all(text: &str) {
        let script = Script::parse(text);
        let mut stage = Stage::new(&script.settings);
        let mut wrong = Vec::new();
        for case in &script.cases {
            if let Err(what) = stage.play(case) {
                wrong.push(format!("line {}, {} {}: {what}", case.line, case.sections, case.name));
            }
        }
        let count = script.cases.len();
        assert!(count > 0, "a script without cases shows nothing");
        assert!(wrong.is_empty(), "{} of {count} cases\n{}", wrong.len(), wrong.join("\n"));
    }

    /// Plays one case.
    ///
    /// # Errors
    /// What went otherwise than the script says.
    pub fn play(&mut self, case: &Case) -> Result<(), String> {
        let mut client = self.gateway.connect();
        // The client's end panics when what it receives is not what it expects.
        let played = catch_unwind(AssertUnwindSafe(|| {
            let mut current = None;
            for step in &case.steps {
                self.step(step, &mut client, &mut current)?;
            }
            Ok(())
        }));
        drop(client);
        let last = self.last();
        self.observer.forget();
        match played {
            Ok(Ok(())) => last,
            Ok(Err(what)) => Err(what),
            Err(panic) => Err(panic.downcast_ref::<String>().cloned().unwrap_or_else(|| "a panic".to_owned())),
        }
    }

    fn step(&mut self, step: &Step, client: &mut Peer, current: &mut Option<usize>) -> Result<(), String> {
        match step {
            Step::Send(bytes) => client.send(bytes),
            Step::SendEnd => client.shut_write(),
            Step::Reconnect => *client = self.gateway.connect(),
            Step::Arrives(wanted) => self.arrives(wanted, current)?,
            Step::ArrivesEnd => {
                let number = current.take().ok_or("the backend has no connection")?;
                let ended = |observer: &mut Observer| observer.connections.get(&number)?.ended.then_some(());
                self.observer.wait_for(DEADLINE, ended).ok_or("the backend's connection stays open")?;
            }
            Step::Answer(bytes) => self.observer.send(current.ok_or("the backend has no connection")?, bytes),
            Step::AnswerEnd => self.observer.close(current.take().ok_or("the backend has no connection")?),
            Step::Receives { line, skip } => receives(client, line, *skip)?,
            Step::ReceivesEnd => client.expect_end(),
            Step::Refused { status, key, ends } => refused(client, *status, key, *ends)?,
        }
        Ok(())
    }

    /// Takes what is wanted from the backend's connection; from the first that has something to say when there is none yet.
    fn arrives(&mut self, wanted: &[u8], current: &mut Option<usize>) -> Result<(), String> {
        let enough = |observer: &mut Observer| {
            let (number, arrived) = match *current {
                Some(number) => (number, observer.connections.get(&number)?),
                None => observer
                    .connections
                    .iter()
                    .find(|(_, arrived)| !arrived.pending.is_empty())
                    .map(|(number, arrived)| (*number, arrived))?,
            };
            (arrived.pending.len() >= wanted.len() || arrived.ended).then_some(number)
        };
        let Some(number) = self.observer.wait_for(DEADLINE, enough) else {
            return Err(format!("the backend waits for {}, and has {}", shown(wanted), self.unread()));
        };
        *current = Some(number);
        let pending = &mut self.observer.connections.get_mut(&number).ok_or("no such connection")?.pending;
        let rest = pending.split_off(wanted.len().min(pending.len()));
        let got = std::mem::replace(pending, rest);
        if got == wanted { Ok(()) } else { Err(format!("the backend got {} for {}", shown(&got), shown(wanted))) }
    }

    /// Asks once more. Then the backend must have got this, and nothing else that the case did not speak of.
    fn last(&mut self) -> Result<(), String> {
        let mut client = self.gateway.connect();
        client.send(b"GET /the-last-one HTTP/1.1\r\nHost: stage\r\nConnection: close\r\n\r\n");
        let is_here = |observer: &mut Observer| {
            let mut all = observer.connections.iter();
            let here = |pending: &[u8]| has_last(pending).is_some();
            all.find(|(_, arrived)| here(&arrived.pending)).map(|(number, _)| *number)
        };
        let number = self.observer.wait_for(DEADLINE, is_here).ok_or_else(|| {
            format!("the request after the case does not reach the backend, which has {}", self.unread())
        })?;
        let mut unread = Vec::new();
        for (other, arrived) in &self.observer.connections {
            let rest = if *other == number { has_last(&arrived.pending).unwrap_or_default() } else { &arrived.pending };
            unread.extend_from_slice(rest);
        }
        // Before the answer: when that is here, the gateway has seen these ends too, and the next case finds no old connection.
        let others: Vec<usize> = self.observer.connections.keys().copied().filter(|other| *other != number).collect();
        others.into_iter().for_each(|other| self.observer.close(other));
        self.observer.send(number, b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        let status = client.head().status();
        client.rest();
        match (unread.is_empty(), status) {
            (true, 200) => Ok(()),
            (true, status) => Err(format!("the request after the case is answered with {status}")),
            (false, _) => Err(format!("the backend also got {}", shown(&unread))),
        }
    }

    fn unread(&self) -> String {
        self.observer.connections.values().map(|arrived| shown(&arrived.pending)).collect()
    }
}

/// What stands before the last request, when it is there. A script may have the gateway add fields to it.
fn has_last(pending: &[u8]) -> Option<&[u8]> {
    let (start, _) = LAST.split_at(LAST.windows(2).position(|pair| pair == b"\r\n")?);
    let at = pending.windows(start.len()).position(|window| window == start)?;
    pending.ends_with(b"\r\n\r\n").then(|| pending.get(..at)).flatten()
}

fn receives(client: &mut Peer, wanted: &[u8], skip: bool) -> Result<(), String> {
    if !wanted.ends_with(b"\n") {
        client.expect(wanted);
        return Ok(());
    }
    loop {
        let line = client.until(b"\n");
        let is_date = line.get(..5).is_some_and(|name| name.eq_ignore_ascii_case(b"date:"));
        if line == wanted {
            return Ok(());
        }
        if line == b"\r\n" || !(skip || is_date) {
            return Err(format!("the client got {} for {}", shown(&line), shown(wanted)));
        }
    }
}

fn refused(client: &mut Peer, status: u16, key: &str, ends: bool) -> Result<(), String> {
    let head = client.head();
    let body = String::from_utf8_lossy(&client.body(&head)).into_owned();
    if head.status() != status || !body.contains(&format!("\"key\":\"{key}\"")) {
        return Err(format!("the client got {} with {body} for {status} {key}", head.start));
    }
    if !ends {
        return Ok(());
    }
    if !head.has("connection", "close") {
        return Err("the refusal does not announce the end of the connection".to_owned());
    }
    client.expect_end();
    Ok(())
}

fn shown(bytes: &[u8]) -> String {
    const BYTES: usize = 500;
    format!("{:?}", String::from_utf8_lossy(&bytes[..bytes.len().min(BYTES)]))
}
