//! Where schemas of serialized values are, and what stands before a serialized value: nothing, or what Confluent's serializers write (a zero, and the schema's id in four bytes).

use schemars::JsonSchema;
use serde::Deserialize;

/// Where a schema is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Location {
    /// In the definition.
    #[default]
    Inline,
    /// In a schema registry.
    SchemaRegistry,
}

/// How a serialized value is framed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Format {
    /// As Confluent's serializers do it. The id is not looked at, and written as 0.
    #[default]
    Confluent,
    /// Not at all.
    Simple,
}

impl Format {
    /// What is behind the frame.
    ///
    /// # Errors
    /// There is no frame.
    pub fn unframed(self, bytes: &[u8]) -> Result<&[u8], &'static str> {
        match (self, bytes) {
            (Self::Simple, bytes) => Ok(bytes),
            (Self::Confluent, [0, _, _, _, _, rest @ ..]) => Ok(rest),
            _ => Err("no frame of Confluent's serialization: `serializationFormat` may have to be `simple`"),
        }
    }

    /// The frame.
    pub fn head(self) -> Vec<u8> {
        if self == Self::Confluent { vec![0; 5] } else { Vec::new() }
    }
}
