//! Which Redis, and how a connection to it begins.

use std::io;
use std::rc::Rc;
use std::time::Duration;

use bytes::BytesMut;
use ringway_contract::{ByteStream, Dial, Redis as Settings, Refusal, Remote, RemoteTls};

use super::resp::{self, Reply};

/// Bytes of a reply to a command that makes a connection ready.
const HELLO_BYTES_MAX: usize = 4096;

/// A Redis, as one shard reaches it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Server {
    /// Where it is; with sentinels, they say it.
    pub remote: Remote,
    /// User and password.
    pub login: Option<(Option<String>, String)>,
    /// Number of the database.
    pub database: u16,
    /// Who knows where it is.
    pub sentinels: Option<Sentinels>,
    /// Scripts that are to be there, see `SCRIPT LOAD`.
    pub scripts: &'static [&'static str],
    /// How long an answer may take.
    pub timeout: Duration,
}

/// Sentinels of one master.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Sentinels {
    /// What they call it.
    pub master: String,
    /// Where they are.
    pub nodes: Vec<(String, u16)>,
    /// Their own password.
    pub password: Option<String>,
}

impl Server {
    /// The one that `ringway.yaml` names.
    ///
    /// # Errors
    /// The file of its authorities cannot be read.
    pub fn of_settings(settings: &Settings, scripts: &'static [&'static str]) -> Result<Self, Refusal> {
        let tls = settings.tls.as_ref().map(|tls| {
            let read = |path: &std::path::PathBuf| {
                let refused = |error| Refusal(format!("ratelimit.redis.tls.ca: {}: {error}", path.display()));
                std::fs::read_to_string(path).map_err(refused)
            };
            let authorities = tls.ca.as_ref().map(read).transpose()?;
            Ok(RemoteTls { authorities, verify_hostname: tls.verify_hostname, trust_all: tls.trust_all })
        });
        let text = |secret: &ringway_contract::Secret| secret.expose().to_owned();
        Ok(Self {
            remote: Remote {
                host: settings.host.clone(),
                port: settings.port,
                tls: tls.transpose()?,
                timeout: Duration::from_millis(settings.connect_timeout_ms),
            },
            login: settings.password.as_ref().map(|password| (settings.username.clone(), text(password))),
            database: settings.database,
            sentinels: settings.sentinel.as_ref().map(|sentinel| Sentinels {
                master: sentinel.master.clone(),
                nodes: sentinel.nodes.iter().map(|node| (node.host.clone(), node.port)).collect(),
                password: sentinel.password.as_ref().map(text),
            }),
            scripts,
            timeout: Duration::from_millis(settings.timeout_ms),
        })
    }

    /// Its name in logs and metrics.
    pub fn name(&self) -> String {
        match &self.sentinels {
            Some(sentinels) => format!("{}/{}", sentinels.master, self.database),
            None => format!("{}:{}/{}", self.remote.host, self.remote.port, self.database),
        }
    }

    /// A connection that is ready for commands.
    ///
    /// # Errors
    /// It cannot be reached, or does not let the gateway in. Takes as long as its parts may take together.
    pub async fn connect(&self, dial: &dyn Dial) -> io::Result<Rc<dyn ByteStream>> {
        let remote = match &self.sentinels {
            None => self.remote.clone(),
            Some(sentinels) => sentinels.find(&self.remote, dial).await?,
        };
        let stream = dial.dial(&remote).await?;
        let mut hello: Vec<Vec<&[u8]>> = Vec::new();
        match &self.login {
            Some((Some(user), password)) => hello.push(vec![b"AUTH", user.as_bytes(), password.as_bytes()]),
            Some((None, password)) => hello.push(vec![b"AUTH", password.as_bytes()]),
            None => {}
        }
        let database = self.database.to_string();
        if self.database > 0 {
            hello.push(vec![b"SELECT", database.as_bytes()]);
        }
        // While it reads its files it answers nothing else than that it does.
        hello.push(vec![b"PING"]);
        hello.extend(self.scripts.iter().map(|script| vec![&b"SCRIPT"[..], b"LOAD", script.as_bytes()]));
        let commands: Vec<&[&[u8]]> = hello.iter().map(Vec::as_slice).collect();
        converse(&*stream, &commands).await?;
        Ok(stream)
    }
}

impl Sentinels {
    /// Where the master is now.
    async fn find(&self, remote: &Remote, dial: &dyn Dial) -> io::Result<Remote> {
        let mut last = io::Error::other("there is no sentinel");
        for (host, port) in &self.nodes {
            let node = Remote { host: host.clone(), port: *port, ..remote.clone() };
            match self.ask(&node, dial).await {
                Ok((host, port)) => return Ok(Remote { host, port, ..remote.clone() }),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    async fn ask(&self, node: &Remote, dial: &dyn Dial) -> io::Result<(String, u16)> {
        let stream = dial.dial(node).await?;
        let auth: Option<[&[u8]; 2]> = self.password.as_ref().map(|password| [&b"AUTH"[..], password.as_bytes()]);
        let question: [&[u8]; 3] = [b"SENTINEL", b"GET-MASTER-ADDR-BY-NAME", self.master.as_bytes()];
        let commands: Vec<&[&[u8]]> = auth.iter().map(<[&[u8]; 2]>::as_slice).chain([question.as_slice()]).collect();
        let answer = converse(&*stream, &commands).await?;
        let Some(Reply::List(parts)) = answer else {
            return Err(io::Error::other(format!("no master is called `{}`", self.master)));
        };
        match parts.as_slice() {
            [Reply::Bytes(host), Reply::Bytes(port)] => {
                let host = String::from_utf8_lossy(host).into_owned();
                let port = std::str::from_utf8(port).ok().and_then(|port| port.parse().ok());
                Ok((host, port.ok_or_else(|| io::Error::other("a port that is none"))?))
            }
            _ => Err(io::Error::other("the sentinel does not say where the master is")),
        }
    }
}

/// Sends commands, and gives the answer to the last one.
async fn converse(stream: &dyn ByteStream, commands: &[&[&[u8]]]) -> io::Result<Option<Reply>> {
    let mut out = BytesMut::new();
    commands.iter().for_each(|parts| resp::encode(&mut out, parts));
    stream.write(out).await?;
    let (mut buffer, mut last) = (BytesMut::with_capacity(HELLO_BYTES_MAX), None);
    for _ in commands {
        last = loop {
            match resp::decode(&mut buffer, HELLO_BYTES_MAX).map_err(io::Error::other)? {
                Some(Reply::Error(why)) => return Err(io::Error::other(why)),
                Some(reply) => break Some(reply),
                None => {}
            }
            buffer.reserve(HELLO_BYTES_MAX);
            let (count, back) = stream.read(buffer).await;
            buffer = back;
            if count? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        };
    }
    if !buffer.is_empty() {
        return Err(io::Error::other("an answer to nothing"));
    }
    Ok(last)
}
