//! Lets requests pass, or not, by where they come from.

use std::net::IpAddr;
use std::rc::Rc;

use http::StatusCode;
use ringway_contract::kind::{Part, decode, refused};
use ringway_contract::{Exchange, Kind, Phases, Policy, Refusal, Reply, Services, Step};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::text::Text;

mod names;
pub(crate) mod ranges;

use names::{NAMES_MAX, Names, is_name};
use ranges::{Ranges, address, range};

/// Addresses of one request that are looked at. A request that tells of more is refused.
const ADDRESSES_MAX: usize = 64;

/// `ip-filtering`.
pub static KIND: Kind<dyn Policy> = Kind {
    name: "ip-filtering",
    about: "Lets requests pass, or not, by the address that they come from.",
    docs: include_str!("README.md"),
    configuration: Part::of::<Config>().examined(|configuration, _| {
        let built = decode(configuration).and_then(|config| IpFiltering::new(config, &Services::default()));
        refused(configuration, built.err())
    }),
    shared: None,
    messaging: None,
    build: |source, services| Ok(Rc::new(IpFiltering::new(decode(source.configuration)?, services)?)),
};

/// Configuration of `ip-filtering`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Config {
    /// Looks at every address of `X-Forwarded-For` instead of the client's. Anyone can send this field: only behind a proxy that writes it anew.
    pub match_all_from_x_forwarded_for: bool,
    /// Looks at `customIPAddress` instead of the client's address.
    #[serde(rename = "useCustomIPAddress")]
    pub use_custom_ip_address: bool,
    /// Addresses, separated by commas.
    #[serde(rename = "customIPAddress")]
    pub custom_ip_address: Option<String>,
    /// When not empty: only requests from these addresses, networks and hosts pass.
    pub whitelist_ips: Vec<String>,
    /// Requests from these addresses, networks and hosts do not pass.
    pub blacklist_ips: Vec<String>,
    /// Which addresses of hosts count.
    pub lookup_ip_version: LookupIpVersion,
    /// Whether the first and the last address of an IPv4 network on the whitelist may pass, too.
    pub is_inclusive_host_count: bool,
}

/// Which addresses of a host count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum LookupIpVersion {
    /// Both.
    #[default]
    All,
    /// IPv4.
    Ipv4,
    /// IPv6.
    Ipv6,
}

impl LookupIpVersion {
    fn takes(self, address: IpAddr) -> bool {
        match self {
            Self::All => true,
            Self::Ipv4 => address.is_ipv4(),
            Self::Ipv6 => address.is_ipv6(),
        }
    }
}

struct IpFiltering {
    from: From,
    allowed: List,
    denied: List,
}

/// Where the addresses of a request are taken from.
enum From {
    Client,
    Forwarded,
    Custom(Text),
}

/// A list, as it was given: with constants, and with texts that name addresses of the moment.
struct List {
    constant: Ranges,
    names: Option<Names>,
    others: Box<[Text]>,
    is_empty: bool,
    hosts: bool,
}

impl List {
    /// `looked_up`: which addresses of names count, and by whom they are found.
    fn new(
        field: &str,
        items: &[String],
        hosts: bool,
        looked_up: (LookupIpVersion, &Services),
    ) -> Result<Self, Refusal> {
        let (mut constant, mut names, mut others) = (Vec::new(), Vec::new(), Vec::new());
        for (at, item) in items.iter().enumerate() {
            let text = Text::on_request(&format!("{field}[{at}]"), item)?;
            let Some(item) = text.constant() else {
                others.push(text);
                continue;
            };
            for item in item.split(',').map(str::trim).filter(|item| !item.is_empty()) {
                match range(item, hosts) {
                    Some(range) => constant.push(range),
                    None if is_name(item) => names.push(item.to_ascii_lowercase()),
                    None => {
                        let why = "is neither an address, nor a network such as `10.0.0.0/8`, nor the name of a host";
                        return Err(Refusal(format!("{field}[{at}]: `{item}` {why}")));
                    }
                }
            }
        }
        names.sort_unstable();
        names.dedup();
        if names.len() > NAMES_MAX {
            return Err(Refusal(format!("{field}: at most {NAMES_MAX} names of hosts")));
        }
        let (version, services) = looked_up;
        Ok(Self {
            constant: Ranges::new(constant),
            names: (!names.is_empty()).then(|| Names::new(names, version, services)),
            others: others.into(),
            is_empty: items.is_empty(),
            hosts,
        })
    }

    /// Whether it names one of these addresses.
    fn names(&self, addresses: &[IpAddr], exchange: &Exchange) -> Result<bool, Box<Reply>> {
        let named = |address: IpAddr| self.names.as_ref().is_some_and(|names| names.have(address));
        if addresses.iter().any(|address| self.constant.contains(*address) || named(*address)) {
            return Ok(true);
        }
        for text in &self.others {
            let list = text.render(exchange)?;
            let ranges = list.split(',').filter_map(|item| range(item.trim(), self.hosts)).collect();
            let ranges = Ranges::new(ranges);
            if addresses.iter().any(|address| ranges.contains(*address)) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

impl IpFiltering {
    fn new(config: Config, services: &Services) -> Result<Self, Refusal> {
        let from = match (config.use_custom_ip_address, config.match_all_from_x_forwarded_for) {
            (true, _) => {
                let text = config.custom_ip_address.filter(|text| !text.trim().is_empty());
                let text = text.ok_or_else(|| Refusal("customIPAddress: `useCustomIPAddress` needs it".into()))?;
                From::Custom(Text::on_request("customIPAddress", &text)?)
            }
            (false, true) => From::Forwarded,
            (false, false) => From::Client,
        };
        let looked_up = (config.lookup_ip_version, services);
        Ok(Self {
            from,
            // Both lists in the stricter way: whom the ends of a network belong to is a matter of who reads it.
            allowed: List::new("whitelistIps", &config.whitelist_ips, !config.is_inclusive_host_count, looked_up)?,
            denied: List::new("blacklistIps", &config.blacklist_ips, false, looked_up)?,
        })
    }

    /// Lets it pass, or not, by what is known now.
    fn decide<'a>(&self, exchange: &Exchange) -> Step<'a> {
        match self.passes(exchange) {
            Ok(true) => Step::Next,
            Ok(false) => Step::Reply(Box::new(Reply::refusal(
                StatusCode::FORBIDDEN,
                "IP_FILTERING_FORBIDDEN",
                "Requests from this address are not allowed here.",
            ))),
            Err(reply) => Step::Reply(reply),
        }
    }

    fn passes(&self, exchange: &Exchange) -> Result<bool, Box<Reply>> {
        let client = exchange.client.address.map(|address| address.ip());
        if let From::Client = self.from {
            return self.passes_from(client.as_slice(), exchange);
        }
        let mut addresses = Vec::new();
        let mut add = |text: &str| {
            for item in text.split(',').filter(|item| !item.trim().is_empty()) {
                // What is no address is one that no list has.
                addresses.extend(address(item));
                if addresses.len() > ADDRESSES_MAX {
                    return false;
                }
            }
            true
        };
        let is_bounded = match &self.from {
            From::Client => true,
            From::Custom(text) => add(&text.render(exchange)?),
            From::Forwarded => {
                let fields = exchange.request.as_deref().map(|request| &request.head.fields);
                let mut lines = fields.into_iter().flat_map(|fields| fields.get_all("x-forwarded-for"));
                lines.all(|line| add(&String::from_utf8_lossy(line)))
            }
        };
        if !is_bounded {
            return Ok(false);
        }
        if addresses.is_empty() && matches!(self.from, From::Forwarded) {
            addresses.extend(client);
        }
        self.passes_from(&addresses, exchange)
    }

    fn passes_from(&self, addresses: &[IpAddr], exchange: &Exchange) -> Result<bool, Box<Reply>> {
        Ok(!self.denied.names(addresses, exchange)?
            && (self.allowed.is_empty || self.allowed.names(addresses, exchange)?))
    }
}

impl Policy for IpFiltering {
    fn phases(&self) -> Phases {
        let custom = if let From::Custom(text) = &self.from { Some(text) } else { None };
        let texts = self.allowed.others.iter().chain(&self.denied.others).chain(custom);
        let content = texts.into_iter().any(|text| text.needs().request_content);
        if content { Phases::REQUEST.with_content() } else { Phases::REQUEST }
    }

    fn request<'a>(&'a self, exchange: &'a mut Exchange) -> Step<'a> {
        let lists = [&self.denied, &self.allowed].into_iter();
        let flights: Vec<_> = lists.filter_map(|list| list.names.as_ref()?.due()).collect();
        if flights.is_empty() {
            return self.decide(exchange);
        }
        Step::Wait(Box::pin(async move {
            for flight in flights {
                flight.await;
            }
            self.decide(exchange)
        }))
    }
}
