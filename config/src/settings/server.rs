//! Where clients connect.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Listen, Secret};

/// Where clients connect.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub struct Server {
    /// Its id, for the `servers` of listeners; unique.
    #[serde(default = "http")]
    #[schemars(length(min = 1, max = 64))]
    pub id: String,
    /// Its address: `0.0.0.0:8082`, `[::]:8082`, or `unix:/path/of.sock`.
    pub listen: Listen,
    /// TLS; without, connections are plain.
    pub tls: Option<Tls>,
    /// Whether every connection begins with a HAProxy PROXY protocol header, version 1 or 2. Connections without are closed.
    #[serde(default)]
    pub proxy_protocol: bool,
    /// Connections that the kernel queues, 1 to 65,535; it cuts this to `net.core.somaxconn`. Default 1,024.
    #[serde(default = "backlog")]
    #[schemars(range(min = 1, max = 65_535))]
    pub backlog: u32,
}

impl Default for Server {
    fn default() -> Self {
        Self {
            id: http(),
            listen: Listen::Tcp(([0, 0, 0, 0], 8082).into()),
            tls: None,
            proxy_protocol: false,
            backlog: backlog(),
        }
    }
}

fn http() -> String {
    "http".into()
}

fn backlog() -> u32 {
    1024
}

/// TLS of a server. Certificates are read anew when their files change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub struct Tls {
    /// Certificates, chosen by the server name that clients ask for (SNI). At least one; the first answers clients that name no server or an
    /// unknown one, unless another says `default`.
    #[schemars(length(min = 1, max = 1024))]
    pub certificates: Vec<Certificate>,
    /// The oldest version. Default `TLSv1.2`.
    #[serde(default)]
    pub min_version: TlsVersion,
    /// Whether clients show certificates. Default `none`.
    #[serde(default)]
    pub client_auth: ClientAuth,
    /// PEM file of the authorities that sign certificates of clients. Needed unless `clientAuth` is `none`.
    pub client_ca: Option<PathBuf>,
    /// Protocols offered by ALPN (RFC 7301), most wanted first. Default `http/1.1`.
    #[serde(default = "http11")]
    pub alpn: Vec<String>,
    /// Cipher suites by their IANA names, most wanted first, whatever order clients have; none for the default set.
    #[serde(default)]
    pub cipher_suites: Vec<String>,
}

fn http11() -> Vec<String> {
    vec!["http/1.1".into()]
}

/// A certificate: `cert` and `key`, or `pkcs12`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub struct Certificate {
    /// PEM file of the chain, the server's own certificate first.
    pub cert: Option<PathBuf>,
    /// PEM file of the key.
    pub key: Option<PathBuf>,
    /// PKCS#12 file of chain and key.
    pub pkcs12: Option<PathBuf>,
    /// Password of the PKCS#12 file.
    pub password: Option<Secret>,
    /// Server names that it answers, `*.` for one label; none for those in the certificate.
    #[serde(default)]
    pub names: Vec<String>,
    /// Whether it answers clients that name no server or an unknown one. Default false.
    #[serde(default)]
    pub default: bool,
}

/// A version of TLS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub enum TlsVersion {
    /// RFC 5246.
    #[default]
    #[serde(rename = "TLSv1.2")]
    V12,
    /// RFC 8446.
    #[serde(rename = "TLSv1.3")]
    V13,
}

/// Whether clients show certificates.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ClientAuth {
    /// They are not asked.
    #[default]
    None,
    /// They are asked, and let in without.
    Request,
    /// They are asked, and not let in without.
    Required,
}
