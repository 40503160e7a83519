//! Who is subscribed. A definition may say it as long as no store does.

use std::borrow::Cow;
use std::collections::BTreeMap;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Deserializer};

use super::{ApiKey, ClientCertificate};
use crate::node::Node;

/// A consumer of a plan. Of push plans it says where messages are sent to.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub struct Subscription {
    /// Identifies it; unique within the API. Brokers remember by it how far it has come: with another id it is another consumer. Of standard
    /// plans made from application and plan if it is not given.
    #[serde(default)]
    #[schemars(length(min = 1, max = 128), regex(pattern = r"^[a-zA-Z0-9_-]+$"))]
    pub id: String,
    /// Of a subscription that stands with its application: id or name of the API.
    #[serde(default)]
    pub api: String,
    /// Id or name of its plan.
    #[schemars(length(min = 1))]
    pub plan: String,
    /// The application that is subscribed.
    #[serde(default)]
    pub application: String,
    /// Whether the publisher has let it in. Only accepted ones are served.
    #[serde(default)]
    pub status: SubscriptionStatus,
    /// Whether the consumer wants its messages now.
    #[serde(default)]
    pub consumer_status: ConsumerStatus,
    /// Facts for expressions.
    #[serde(default)]
    pub metadata: BTreeMap<String, String>,
    /// When it begins; without, at once.
    pub starting_at: Option<Moment>,
    /// When it ends; without, never.
    pub ending_at: Option<Moment>,
    /// Keys of a plan with the security `API_KEY`.
    #[serde(default, rename = "apiKeys")]
    pub keys: Vec<ApiKey>,
    /// Client id that tokens of a JWT or OAuth2 plan name. Without one the application's.
    pub client_id: Option<String>,
    /// Certificates that are shown to an mTLS plan. Without any the application's.
    #[serde(default)]
    pub client_certificates: Vec<ClientCertificate>,
    /// Where messages are sent to. Push plans need it.
    pub consumer_configuration: Option<ConsumerConfiguration>,

    /// Why it is not served here; `None` when it is.
    #[serde(skip)]
    pub withheld: Option<String>,
}

/// What the publisher has decided.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum SubscriptionStatus {
    /// Not decided yet.
    Pending,
    /// Not let in.
    Rejected,
    /// Let in.
    #[default]
    Accepted,
    /// Interrupted by the publisher.
    Paused,
    /// Over.
    Closed,
}

impl SubscriptionStatus {
    /// The name in definitions.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pending => "PENDING",
            Self::Rejected => "REJECTED",
            Self::Accepted => "ACCEPTED",
            Self::Paused => "PAUSED",
            Self::Closed => "CLOSED",
        }
    }
}

/// What the consumer wants.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ConsumerStatus {
    /// Messages.
    #[default]
    Started,
    /// None for now.
    Stopped,
    /// As an export may say of one that had failed: it is tried again.
    Failure,
}

/// Where messages are sent to.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub struct ConsumerConfiguration {
    /// Type of the entrypoint that sends, such as `webhook`: one of the API's.
    pub entrypoint_id: String,
    /// Channel that flows are chosen by.
    #[serde(default)]
    pub channel: String,
    /// What the consumer tells the entrypoint.
    pub entrypoint_configuration: Option<Node>,
}

/// A point in time, in milliseconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Moment(pub u64);

impl Moment {
    /// Reads a date and time of RFC 3339: `2026-11-26T20:00:00Z`, with a fraction or another offset if need be.
    pub fn parse(text: &str) -> Option<Self> {
        let (date, time) = text.split_once(['T', 't', ' '])?;
        let mut date = date.splitn(3, '-').map(str::parse::<i64>);
        let (year, month, day) = (date.next()?.ok()?, date.next()?.ok()?, date.next()?.ok()?);
        let zone_at = time.find(['Z', 'z', '+', '-'])?;
        let (clock, zone) = time.split_at_checked(zone_at)?;
        let mut clock = clock.splitn(3, ':');
        let hour: i64 = clock.next()?.parse().ok()?;
        let minute: i64 = clock.next()?.parse().ok()?;
        let second: f64 = clock.next()?.parse().ok()?;
        let offset_minutes = match zone {
            "Z" | "z" => 0,
            _ => {
                let (hours, minutes) = zone.get(1..)?.split_once(':')?;
                let minutes = hours.parse::<i64>().ok()? * 60 + minutes.parse::<i64>().ok()?;
                if zone.starts_with('-') { -minutes } else { minutes }
            }
        };
        let sound = (1970..=9999).contains(&year)
            && (1..=12).contains(&month)
            && (1..=31).contains(&day)
            && (0..24).contains(&hour)
            && (0..60).contains(&minute)
            && (0.0..61.0).contains(&second)
            && offset_minutes.abs() < 24 * 60;
        if !sound {
            return None;
        }
        let minutes = (days_since_1970(year, month, day) * 24 + hour) * 60 + minute - offset_minutes;
        let milliseconds = minutes.checked_mul(60_000)?.checked_add((second * 1000.0).round() as i64)?;
        u64::try_from(milliseconds).ok().map(Self)
    }
}

/// Days from 1970-01-01 in the Gregorian calendar: years are counted from March, so that a leap day is the last of its year.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

impl<'de> Deserialize<'de> for Moment {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let node = Node::deserialize(deserializer)?;
        let text = node.as_text().map(str::to_owned).unwrap_or_default();
        let number = text.parse::<u64>().ok().or_else(|| u64::deserialize(&node).ok());
        number
            .map(Self)
            .or_else(|| Self::parse(&text))
            .ok_or_else(|| serde::de::Error::custom("neither a date and time of RFC 3339 nor milliseconds since 1970"))
    }
}

impl JsonSchema for Moment {
    fn schema_name() -> Cow<'static, str> {
        "Moment".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        schemars::json_schema!({
            "description": "A date and time of RFC 3339, such as `2026-11-26T20:00:00Z`, or milliseconds since 1970.",
            "anyOf": [{ "type": "string" }, { "type": "integer", "minimum": 0 }],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_read() {
        for (text, wanted) in [
            ("1970-01-01T00:00:00Z", Some(0)),
            ("2000-02-29T12:00:00Z", Some(951_825_600_000)),
            ("2026-11-26T20:00:00.250Z", Some(1_795_723_200_250)),
            ("2026-11-26T21:30:00+01:30", Some(1_795_723_200_000)),
            ("2026-11-26 12:00:00-08:00", Some(1_795_723_200_000)),
            ("2026-11-26", None),
            ("2026-13-01T00:00:00Z", None),
            ("2026-11-26T25:00:00Z", None),
            ("2026-11-26T20:00:00", None),
            ("soon", None),
        ] {
            assert_eq!(Moment::parse(text).map(|moment| moment.0), wanted, "{text}");
        }
    }
}
