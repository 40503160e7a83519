//! Certificates made for the test, and rustls's buffered connections as the other side.
#![allow(dead_code, missing_docs, unreachable_pub, clippy::unwrap_used, clippy::expect_used)]

use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, mpsc};
use std::thread;

use bytes::BytesMut;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use ringway_net::{
    Address, ClientTls, ClientTlsSpec, DialOptions, DriverChoice, HandshakeLimits, Identity, Listener, ListenerOptions,
    ServerTls, ServerTlsSpec, Stream, TlsVersion, Trust, dial,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection, StreamOwned};

pub type Client = StreamOwned<ClientConnection, TcpStream>;
pub type Server = StreamOwned<ServerConnection, TcpStream>;

/// A certificate authority.
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate with its key, in PEM.
#[derive(Clone)]
pub struct Certified {
    pub certificate: String,
    pub key: String,
}

impl Authority {
    pub fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    pub fn issue(&self, names: &[&str]) -> Certified {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(names).unwrap().signed_by(&key, &self.0).unwrap();
        Certified { certificate: certificate.pem(), key: key.serialize_pem() }
    }

    pub fn pem(&self) -> String {
        self.0.pem()
    }

    pub fn der(&self) -> CertificateDer<'static> {
        self.0.der().clone()
    }

    pub fn trust(&self) -> Trust {
        Trust::Pem(self.pem())
    }

    pub fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots.add(self.der()).unwrap();
        roots
    }

    /// A client that believes this authority.
    pub fn client_config(&self, version: &'static rustls::SupportedProtocolVersion) -> ClientConfig {
        client_builder(version).with_root_certificates(self.roots()).with_no_client_auth()
    }
}

pub fn client_builder(
    version: &'static rustls::SupportedProtocolVersion,
) -> rustls::ConfigBuilder<ClientConfig, rustls::WantsVerifier> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    ClientConfig::builder_with_provider(provider).with_protocol_versions(&[version]).unwrap()
}

impl Certified {
    pub fn identity(&self) -> Identity {
        Identity::Pem { certificate: self.certificate.clone(), key: self.key.clone() }
    }

    pub fn chain(&self) -> Vec<CertificateDer<'static>> {
        CertificateDer::pem_slice_iter(self.certificate.as_bytes()).map(Result::unwrap).collect()
    }

    pub fn key(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::from_pem_slice(self.key.as_bytes()).unwrap()
    }

    pub fn server_config(&self, version: &'static rustls::SupportedProtocolVersion) -> ServerConfig {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[version])
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(self.chain(), self.key())
            .unwrap()
    }
}

/// A client of rustls's own on a blocking socket.
pub fn client_over(stream: TcpStream, config: &Arc<ClientConfig>, name: &str) -> Client {
    let name = ServerName::try_from(name.to_owned()).unwrap();
    StreamOwned::new(ClientConnection::new(Arc::clone(config), name).unwrap(), stream)
}

pub fn client_to(address: SocketAddr, config: &Arc<ClientConfig>, name: &str) -> Client {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(crate::support::PATIENCE)).unwrap();
    stream.set_write_timeout(Some(crate::support::PATIENCE)).unwrap();
    client_over(stream, config, name)
}

/// A server of rustls's own on a blocking socket.
pub fn server_over(stream: TcpStream, config: ServerConfig) -> Server {
    StreamOwned::new(ServerConnection::new(Arc::new(config)).unwrap(), stream)
}

pub const VERSIONS: [(TlsVersion, &rustls::SupportedProtocolVersion); 2] =
    [(TlsVersion::V12, &rustls::version::TLS12), (TlsVersion::V13, &rustls::version::TLS13)];

pub fn spec(certified: &Certified) -> ServerTlsSpec {
    ServerTlsSpec { identities: vec![certified.identity().into()], ..Default::default() }
}

pub fn server(certified: &Certified) -> Arc<ServerTls> {
    Arc::new(ServerTls::new(&spec(certified)).unwrap())
}

/// A shard that accepts `count` TLS connections and hands each to `serve`, and its address.
pub fn serve<F, Fut, T>(
    driver: DriverChoice,
    tls: &Arc<ServerTls>,
    limits: HandshakeLimits,
    count: usize,
    serve: F,
) -> (SocketAddr, thread::JoinHandle<Vec<T>>)
where
    F: Fn(io::Result<Stream>) -> Fut + Send + 'static,
    Fut: Future<Output = T> + 'static,
    T: Send + 'static,
{
    let (bound, address) = mpsc::channel();
    let tls = Arc::clone(tls);
    let thread = thread::spawn(move || {
        crate::support::on_shard(driver, move |_| async move {
            let any = Address::Tcp("127.0.0.1:0".parse().unwrap());
            let listener = Listener::bind(&any, &ListenerOptions::default()).unwrap();
            bound.send(listener.local_addr().unwrap().unwrap()).unwrap();
            let mut results = Vec::new();
            for _ in 0..count {
                let stream = listener.accept().await.unwrap().open().unwrap();
                results.push(serve(stream.accept_tls(&tls, &[], limits).await).await);
            }
            results
        })
    });
    (address.recv().unwrap(), thread)
}

/// Echoes until the client's close_notify, and answers it.
pub async fn echo_all(stream: io::Result<Stream>) {
    let stream = stream.unwrap();
    loop {
        let (result, buffer) = stream.read(BytesMut::with_capacity(100_000)).await;
        match result {
            Ok(0) => break,
            Ok(_) => stream.write(buffer).await.0.unwrap(),
            // A client that just leaves.
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => return,
            Err(error) => panic!("{error}"),
        }
    }
    stream.shutdown().await.unwrap();
}

pub async fn connect(address: &Address, tls: &ClientTls, name: &str) -> io::Result<Stream> {
    let stream = dial(address, &DialOptions::default()).await.unwrap();
    stream.connect_tls(tls, name, HandshakeLimits::default()).await
}

pub fn client_spec(authority: &Authority) -> ClientTlsSpec {
    ClientTlsSpec { trust: authority.trust(), ..Default::default() }
}
