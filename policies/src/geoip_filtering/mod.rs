//! Lets requests in from some countries or places only.

mod database;

use std::net::IpAddr;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;

use http::StatusCode;
use ringway_contract::kind::{Part, decode, refused};
use ringway_contract::{Exchange, Kind, Phases, Policy, Refusal, Reply, Step};
use schemars::JsonSchema;
use serde::Deserialize;

use self::database::{Database, Place};
use crate::ip_filtering::ranges;
use crate::text::Text;

/// `geoip-filtering`.
pub static KIND: Kind<dyn Policy> = Kind {
    name: "geoip-filtering",
    about: "Lets requests in from some countries, or from around some places, only.",
    docs: include_str!("README.md"),
    configuration: Part::of::<Config>()
        .examined(|configuration, _| refused(configuration, decode(configuration).and_then(GeoIp::new).err()))
        .reading(|configuration, _| {
            let database = decode::<Config>(configuration).map(|config| config.database).unwrap_or_default();
            Some(PathBuf::from(database)).filter(|path| !path.as_os_str().is_empty()).into_iter().collect()
        }),
    shared: None,
    messaging: None,
    build: |source, _| Ok(Rc::new(GeoIp::new(decode(source.configuration)?)?)),
};

/// Configuration of `geoip-filtering`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Config {
    /// Path of a database in MaxMind's format, such as `GeoLite2-City.mmdb`. It is watched.
    pub database: String,
    /// Whether an address is refused that the database does not know.
    pub fail_on_unknown: bool,
    /// Whether what the database knows of the address is put into attributes.
    pub expose_geo_ip_matching: bool,
    /// Looks at `customIPAddress` instead of the client's address.
    #[serde(rename = "useCustomIPAddress")]
    pub use_custom_ip_address: bool,
    /// An address; may have expressions. Of several, separated by commas, the first counts.
    #[serde(rename = "customIPAddress")]
    pub custom_ip_address: Option<String>,
    /// When not empty: only requests that one of them fits pass.
    pub whitelist_rules: Vec<Rule>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            database: String::new(),
            fail_on_unknown: true,
            expose_geo_ip_matching: false,
            use_custom_ip_address: false,
            custom_ip_address: None,
            whitelist_rules: Vec::new(),
        }
    }
}

/// Where requests may come from.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Rule {
    /// What is looked at.
    #[serde(rename = "type")]
    pub kind: RuleType,
    /// `COUNTRY`: the code of ISO 3166-1, two letters.
    pub country: Option<String>,
    /// `DISTANCE`: degrees, north of the equator.
    pub latitude: f64,
    /// `DISTANCE`: degrees, east of Greenwich.
    pub longitude: f64,
    /// `DISTANCE`: metres at most from there.
    pub distance: f64,
}

/// What a rule looks at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum RuleType {
    /// The country.
    #[default]
    Country,
    /// How far it is from a place.
    Distance,
}

impl Rule {
    fn examine(&self) -> Result<(), String> {
        match self.kind {
            RuleType::Country => {
                let code = self.country.as_deref().unwrap_or_default();
                let known = code.len() == 2 && code.bytes().all(|byte| byte.is_ascii_alphanumeric());
                if known {
                    Ok(())
                } else {
                    Err(format!("`country` is `{code}`, not a code of two letters such as `FR`"))
                }
            }
            RuleType::Distance => {
                let on_earth = self.latitude.abs() <= 90.0 && self.longitude.abs() <= 180.0;
                let wide = self.distance > 0.0 && self.distance.is_finite();
                let message = "a distance needs `latitude`, `longitude` (degrees) and `distance` (metres, more than 0)";
                if on_earth && wide { Ok(()) } else { Err(message.into()) }
            }
        }
    }

    fn fits(&self, place: &Place<'_>) -> bool {
        match self.kind {
            RuleType::Country => {
                let own = self.country.as_deref();
                place.country_code().zip(own).is_some_and(|(code, own)| code.eq_ignore_ascii_case(own))
            }
            RuleType::Distance => {
                let here = (self.latitude, self.longitude);
                place.position().is_some_and(|position| metres(here, position) < self.distance)
            }
        }
    }
}

/// Between two places, given in degrees, on a sphere of the mean radius of the earth (haversine).
fn metres(one: (f64, f64), other: (f64, f64)) -> f64 {
    const EARTH_RADIUS_METRES: f64 = 6_371_000.0;
    let (latitude, other_latitude) = (one.0.to_radians(), other.0.to_radians());
    let half = |angle: f64| (angle / 2.0).sin().powi(2);
    let across = latitude.cos() * other_latitude.cos() * half((other.1 - one.1).to_radians());
    let chord = half(other_latitude - latitude) + across;
    2.0 * chord.sqrt().min(1.0).asin() * EARTH_RADIUS_METRES
}

struct GeoIp {
    database: Arc<Database>,
    fail_on_unknown: bool,
    expose: bool,
    address: Option<Text>,
    rules: Vec<Rule>,
}

impl GeoIp {
    fn new(config: Config) -> Result<Self, Refusal> {
        if config.database.trim().is_empty() {
            let message = "`database` is missing: the path of a database in MaxMind's format, such as `GeoLite2-City.mmdb`. The reference product \
                           has one in a plugin of its own";
            return Err(Refusal(message.into()));
        }
        for (at, rule) in config.whitelist_rules.iter().enumerate() {
            rule.examine().map_err(|message| Refusal(format!("whitelistRules[{at}]: {message}")))?;
        }
        let custom = config.use_custom_ip_address.then(|| config.custom_ip_address.unwrap_or_default());
        if custom.as_deref().is_some_and(|text| text.trim().is_empty()) {
            return Err(Refusal("customIPAddress: `useCustomIPAddress` needs it".into()));
        }
        let database = Database::shared(config.database.trim());
        Ok(Self {
            database: database.map_err(|message| Refusal(format!("`database`: {message}")))?,
            fail_on_unknown: config.fail_on_unknown,
            expose: config.expose_geo_ip_matching,
            address: custom.map(|text| Text::on_request("customIPAddress", &text)).transpose()?,
            rules: config.whitelist_rules,
        })
    }

    /// The address that counts; `None`: there is none.
    fn address(&self, exchange: &Exchange) -> Result<Option<IpAddr>, Box<Reply>> {
        let Some(text) = &self.address else { return Ok(exchange.client.address.map(|address| address.ip())) };
        let text = text.render(exchange)?;
        Ok(text.split(',').next().and_then(ranges::address))
    }

    fn judge(&self, exchange: &mut Exchange) -> Result<(), Box<Reply>> {
        let refuse = |key| {
            let message = "This resource is not open to where the request comes from.";
            Err(Box::new(Reply::refusal(StatusCode::FORBIDDEN, key, message)))
        };
        let address = self.address(exchange)?.map(|address| address.to_canonical());
        let place = address.and_then(|address| self.database.place(address));
        let Some((address, place)) = address.zip(place) else {
            return if self.fail_on_unknown { refuse("GEOIP_FILTERING_UNKNOWN") } else { Ok(()) };
        };
        if self.expose {
            exchange.attributes.set("geoIP_remote_address", address.to_string());
            for (name, value) in place.facts() {
                exchange.attributes.set(name, value.to_owned());
            }
        }
        if self.rules.is_empty() || self.rules.iter().any(|rule| rule.fits(&place)) {
            Ok(())
        } else {
            refuse("GEOIP_FILTERING_INVALID")
        }
    }
}

impl Policy for GeoIp {
    fn phases(&self) -> Phases {
        let request_content = self.address.as_ref().is_some_and(|text| text.needs().request_content);
        Phases { request_content, ..Phases::REQUEST }
    }

    fn request<'a>(&'a self, exchange: &'a mut Exchange) -> Step<'a> {
        self.judge(exchange).map_or_else(Step::Reply, |()| Step::Next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_are_those_on_the_earth() {
        let (paris, london) = ((48.8566, 2.3522), (51.5074, -0.1278));
        assert!((metres(paris, london) - 343_500.0).abs() < 1_000.0);
        assert!(metres(paris, paris) < 1.0);
        let half = std::f64::consts::PI * 6_371_000.0;
        assert!((metres((0.0, 0.0), (0.0, 180.0)) - half).abs() < 1.0);
        assert!((metres((0.0, 179.9), (0.0, -179.9)) - 22_239.0).abs() < 10.0, "across the date line");
    }
}
