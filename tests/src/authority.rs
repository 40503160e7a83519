//! Certificates made by openssl: an authority of the test's own and what it signs. ECDSA P-256.

use std::path::PathBuf;
use std::process::Command;

use crate::scratch::Scratch;

/// A certificate authority in a folder of its own.
#[derive(Debug)]
pub struct Authority {
    scratch: Scratch,
}

impl Authority {
    /// Makes the authority: `ca.pem`, `ca.key`.
    #[expect(clippy::new_without_default, reason = "a new authority is not a default value")]
    pub fn new() -> Authority {
        let scratch = Scratch::new("authority");
        let authority = Authority { scratch };
        authority.openssl("req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -keyout ca.key -out ca.pem -subj /CN=tests");
        authority
    }

    /// Signs a certificate for a server name (and 127.0.0.1), for servers and clients, valid for 30 days: `NAME.pem` (with the
    /// authority behind it) and `NAME.key`.
    pub fn sign(&self, name: &str) {
        self.sign_for(name, &usual(name));
    }

    /// The same with extensions of the test's choice, a line each.
    pub fn sign_for(&self, name: &str, extensions: &str) {
        self.request(name, extensions);
        self.openssl(
            "x509 -req -in request -CA ca.pem -CAkey ca.key -CAcreateserial -days 30 -extfile extensions -out leaf",
        );
        self.chain(name);
    }

    /// The usual certificate, valid from one time to another, such as `20200101000000Z`.
    pub fn sign_between(&self, name: &str, from: &str, to: &str) {
        self.request(name, &usual(name));
        // `openssl x509` can't be told the time in every version, `openssl ca` can; it wants a database.
        self.scratch.write("database", "");
        self.scratch.write(
            "ca.conf",
            "[ca]\ndefault_ca=c\n[c]\ndatabase=database\nnew_certs_dir=.\nrand_serial=yes\npolicy=p\n[p]\ncommonName=supplied\n",
        );
        self.openssl(&format!(
            "ca -batch -notext -config ca.conf -cert ca.pem -keyfile ca.key -md sha256 -in request -startdate {from} -enddate {to} \
             -extfile extensions -out leaf"
        ));
        self.chain(name);
    }

    /// A certificate that no authority has signed: `NAME.pem` and `NAME.key`.
    pub fn self_sign(&self, name: &str) {
        self.openssl(&format!(
            "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -keyout {name}.key -out {name}.pem -subj /CN={name} \
             -addext subjectAltName=DNS:{name},IP:127.0.0.1"
        ));
    }

    fn request(&self, name: &str, extensions: &str) {
        self.scratch.write("extensions", &format!("basicConstraints=CA:FALSE\n{extensions}\n"));
        self.openssl(&format!(
            "req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout {name}.key -out request -subj /CN={name}"
        ));
    }

    fn chain(&self, name: &str) {
        let chain = self.scratch.read("leaf") + &self.scratch.read("ca.pem");
        self.scratch.write(&format!("{name}.pem"), &chain);
    }

    /// Where a file is, as text for a configuration or a command.
    pub fn path(&self, file: &str) -> String {
        self.scratch.join(file).display().to_string()
    }

    /// A file as bytes become text.
    pub fn read(&self, file: &str) -> String {
        self.scratch.read(file)
    }

    /// Writes a file of its folder anew, whole.
    pub fn replace(&self, file: &str, text: &str) {
        self.scratch.write(file, text);
    }

    /// Where its files are.
    pub fn folder(&self) -> PathBuf {
        self.scratch.path().to_owned()
    }

    /// Runs openssl in its folder.
    #[track_caller]
    pub fn openssl(&self, arguments: &str) {
        self.run("openssl", arguments);
    }

    /// Runs Java's keytool in its folder.
    #[track_caller]
    pub fn keytool(&self, arguments: &str) {
        self.run("keytool", arguments);
    }

    #[track_caller]
    fn run(&self, program: &str, arguments: &str) {
        let output = Command::new(program).args(arguments.split_whitespace()).current_dir(self.scratch.path()).output();
        let output = output.unwrap_or_else(|error| panic!("{program} does not run: {error}"));
        // keytool complains on its standard output.
        let said = [output.stdout, output.stderr].concat();
        assert!(output.status.success(), "{program} {arguments}: {}", String::from_utf8_lossy(&said));
    }
}

fn usual(name: &str) -> String {
    format!("subjectAltName=DNS:{name},IP:127.0.0.1\nextendedKeyUsage=serverAuth,clientAuth")
}
