//! Avro 1.11: values as bytes (Binary Encoding) and as JSON (JSON Encoding).

mod decode;
mod encode;
mod schema;

pub use decode::decode;
pub use encode::encode;
pub use schema::Schema;
#[cfg(test)]
pub use schema::Type;

/// Values in one another.
const LEVELS_MAX: usize = 64;
/// Values of a text: some take no byte at all.
const VALUES_MAX: usize = 1_000_000;
/// Bytes that may come of a value: names of fields are in JSON, and not in Avro.
const OUT_BYTES_MAX: usize = 16 * 1024 * 1024;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::Value;

    const SCHEMA: &str = r#"{"type": "record", "name": "R", "namespace": "a.b", "fields": [
        {"name": "n", "type": "null"}, {"name": "t", "type": "boolean"}, {"name": "i", "type": "int"},
        {"name": "l", "type": {"type": "long", "logicalType": "timestamp-millis"}}, {"name": "f", "type": "float"},
        {"name": "d", "type": "double"}, {"name": "y", "type": "bytes"}, {"name": "s", "type": "string"},
        {"name": "e", "type": {"type": "enum", "name": "E", "symbols": ["A", "B"]}},
        {"name": "x", "type": {"type": "fixed", "name": "X", "size": 2}},
        {"name": "a", "type": {"type": "array", "items": ["null", "E"]}},
        {"name": "m", "type": {"type": "map", "values": "long"}},
        {"name": "u", "type": ["null", "string", "R"], "default": null}]}"#;
    const JSON: &str = r#"{"n":null,"t":true,"i":-2147483648,"l":9223372036854775807,"f":0.1,"d":-1e+300,"y":"\u0000\u00ff","s":"é","e":"B","x":"ab","a":[null,{"a.b.E":"A"}],"m":{"k":-1,"":0},"u":{"string":"z"}}"#;

    #[test]
    fn what_is_encoded_is_decoded() {
        let schema = Schema::parse(SCHEMA).unwrap();
        let bytes = encode(&schema, &Value::parse(JSON.as_bytes()).unwrap()).unwrap();
        let text = decode(&schema, &bytes).unwrap();
        assert_eq!(Value::parse(text.as_bytes()), Value::parse(JSON.as_bytes()));
        for length in 0..bytes.len() {
            assert!(decode(&schema, &bytes[..length]).is_err(), "{length}");
        }
        assert!(decode(&schema, &[&bytes[..], &[0]].concat()).is_err());
    }

    #[test]
    fn bytes_are_those_of_the_specification() {
        // Binary Encoding, "Complex Types".
        let schema = Schema::parse(
            r#"{"type":"record","name":"test","fields":[{"name":"a","type":"long"},{"name":"b","type":"string"}]}"#,
        )
        .unwrap();
        let value = Value::parse(br#"{"a":27,"b":"foo"}"#).unwrap();
        assert_eq!(encode(&schema, &value), Ok(vec![0x36, 0x06, 0x66, 0x6f, 0x6f]));
        let schema = Schema::parse(r#"{"type":"array","items":"long"}"#).unwrap();
        assert_eq!(decode(&schema, &[0x04, 0x06, 0x36, 0x00]).as_deref(), Ok("[3,27]"));
        // A block whose size is told.
        assert_eq!(decode(&schema, &[0x03, 0x04, 0x06, 0x36, 0x00]).as_deref(), Ok("[3,27]"));
    }

    #[test]
    fn what_is_hostile_is_refused() {
        let nulls = Schema::parse(r#"{"type":"array","items":"null"}"#).unwrap();
        let many = [0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01, 0x00];
        assert!(decode(&nulls, &many).is_err(), "2^63 values in no bytes");
        let least = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01, 0x00];
        assert!(decode(&nulls, &least).is_err());
        let text = Schema::parse("string").unwrap();
        assert_eq!(text.root, Type::String);
        for bytes in [&[0x01][..], &[0x04, 0x41], &[0x02, 0xff], &[0x80; 11], &many] {
            assert!(decode(&text, bytes).is_err(), "{bytes:?}");
        }
        let list =
            Schema::parse(r#"{"type":"record","name":"L","fields":[{"name":"next","type":["null","L"]}]}"#).unwrap();
        assert!(decode(&list, &[2; 100]).is_err(), "too deep");
        let deep =
            Value::parse(format!("{}null{}", r#"{"next":{"L":"#.repeat(100), "}}".repeat(100)).as_bytes()).unwrap();
        assert!(encode(&list, &deep).is_err());
        for schema in [
            "",
            "{}",
            "nothing",
            "[]",
            r#"["null","null"]"#,
            r#"[["null"]]"#,
            r#"{"type":"record","name":"R","fields":[{"name":"a","type":"R"}]}"#,
            r#"{"type":"record","name":"1","fields":[]}"#,
            r#"{"type":"enum","name":"E","symbols":["a b"]}"#,
            r#"{"type":"fixed","name":"F","size":-1}"#,
            r#"{"type":"array"}"#,
        ] {
            assert!(Schema::parse(schema).is_err(), "{schema}");
        }
    }
}
