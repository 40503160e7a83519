//! OpenLDAP's slapd as a real directory, with folders and ports of its own.

use std::net::{SocketAddr, TcpStream};
use std::path::Path;

use rustix::process::Signal;

use crate::authority::Authority;
use crate::deadline::{DEADLINE, wait_until};
use crate::port::Port;
use crate::process::Process;
use crate::scratch::Scratch;
use crate::tool;

/// A directory of `dc=example,dc=org`. Who searches it is `cn=reader,dc=example,dc=org` with the password `reading`.
#[derive(Debug)]
pub struct Slapd {
    process: Option<Process>,
    ports: [Port; 2],
    authority: Authority,
    scratch: Scratch,
}

const CONF: &str = "include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/inetorgperson.schema
modulepath /usr/lib/ldap
moduleload back_mdb
pidfile {dir}/slapd.pid
argsfile {dir}/slapd.args
TLSCACertificateFile {ca}
TLSCertificateFile {cert}
TLSCertificateKeyFile {key}
database mdb
suffix dc=example,dc=org
rootdn cn=admin,dc=example,dc=org
directory {dir}/data
maxsize 10485760
access to attrs=userPassword by anonymous auth by * none
access to * by dn.base=cn=reader,dc=example,dc=org read by anonymous auth by self read by * none
";

const BASE: &str = "dn: dc=example,dc=org
objectClass: dcObject
objectClass: organization
dc: example
o: Example

dn: cn=reader,dc=example,dc=org
objectClass: organizationalRole
objectClass: simpleSecurityObject
cn: reader
userPassword: reading

dn: ou=people,dc=example,dc=org
objectClass: organizationalUnit
ou: people

";

impl Slapd {
    /// Starts one with further entries, as LDIF.
    #[track_caller]
    pub fn start(entries: &str) -> Slapd {
        let (ports, scratch, authority) = ([Port::new(), Port::new()], Scratch::new("slapd"), Authority::new());
        authority.sign("localhost");
        let dir = scratch.path().display().to_string();
        let conf = CONF
            .replace("{dir}", &dir)
            .replace("{ca}", &authority.path("ca.pem"))
            .replace("{cert}", &authority.path("localhost.pem"))
            .replace("{key}", &authority.path("localhost.key"));
        let conf = scratch.write("slapd.conf", &conf).display().to_string();
        scratch.write("data/.kept", "");
        let ldif = scratch.write("entries.ldif", &format!("{BASE}{entries}")).display().to_string();
        tool::run("/usr/sbin/slapadd", ["-f", &conf, "-l", &ldif]).ok();
        let mut slapd = Slapd { process: None, ports, authority, scratch };
        slapd.restart();
        slapd
    }

    /// Starts it again.
    #[track_caller]
    pub fn restart(&mut self) {
        let conf = self.scratch.join("slapd.conf").display().to_string();
        let urls = format!("ldap://{} ldaps://{}", self.address(), self.tls());
        // `-d 0`: it stays in the foreground.
        let arguments = ["-d", "0", "-f", &conf, "-h", &urls];
        let log = self.scratch.join("log");
        let mut process = Process::start(Path::new("/usr/sbin/slapd"), &arguments, self.scratch.path(), &log);
        wait_until("slapd to listen", || {
            assert!(process.ended().is_none(), "slapd ended: {}", self.scratch.read("log"));
            TcpStream::connect(self.address()).is_ok()
        });
        self.process = Some(process);
    }

    /// Kills it (`SIGKILL`).
    #[track_caller]
    pub fn kill(&mut self) {
        let mut process = self.process.take().expect("it runs");
        process.signal(Signal::KILL);
        assert!(process.wait(DEADLINE).is_some(), "slapd cannot be killed");
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.ports[0].address()
    }

    /// Where it listens with TLS, as `localhost`.
    pub fn tls(&self) -> SocketAddr {
        self.ports[1].address()
    }

    /// Who signed its certificate, as PEM.
    pub fn authority(&self) -> String {
        self.authority.read("ca.pem")
    }
}
