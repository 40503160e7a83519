//! Words of the Console and the portal. The gateway reads them and leaves them alone.

use schemars::JsonSchema;
use serde::Deserialize;

/// How far the portal has come with an API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum LifecycleState {
    /// Not in the portal yet.
    Created,
    /// In the portal.
    Published,
    /// Not in the portal any more.
    Unpublished,
    /// In the portal, but not for new subscriptions.
    Deprecated,
    /// Put away.
    Archived,
}

/// Who sees an API in the portal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Visibility {
    /// Everyone.
    Public,
    /// Members.
    Private,
}

/// A fact for the portal and for expressions.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub struct Metadata {
    /// Identifies it.
    pub key: Option<String>,
    /// Its name.
    pub name: Option<String>,
    /// What it is.
    pub format: Option<MetadataFormat>,
    /// Its value.
    pub value: Option<String>,
    /// Its value where the API has none.
    pub default_value: Option<String>,
}

/// What a fact is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum MetadataFormat {
    /// Text.
    String,
    /// A number.
    Numeric,
    /// True or false.
    Boolean,
    /// A date.
    Date,
    /// An e-mail address.
    Mail,
    /// A URL.
    Url,
}
