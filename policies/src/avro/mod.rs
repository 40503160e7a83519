//! Avro 1.11: values as bytes (Binary Encoding) and as JSON (JSON Encoding).

mod decode;
mod encode;
mod schema;

pub use decode::decode;
pub use encode::encode;
pub use schema::Schema;
#[cfg(test)]
pub use schema::Type;

/// What JSON looks like.
#[derive(Clone, Copy, Debug, Default)]
pub struct Form {
    /// Whether a value of a union stands for itself, and not in an object that names its branch.
    pub unwrapped: bool,
    /// Whether bytes are in Base64, and numbers may be texts: as ProtoJSON has them.
    pub base64: bool,
    /// Whether fields of records that are null are not written.
    pub omit_nulls: bool,
    /// Whether fields are passed over that a record does not have.
    pub lenient: bool,
}

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
        let bytes = encode(&schema, &Value::parse(JSON.as_bytes()).unwrap(), Form::default()).unwrap();
        let text = decode(&schema, &bytes, Form::default()).unwrap();
        assert_eq!(Value::parse(text.as_bytes()), Value::parse(JSON.as_bytes()));
        for length in 0..bytes.len() {
            assert!(decode(&schema, &bytes[..length], Form::default()).is_err(), "{length}");
        }
        assert!(decode(&schema, &[&bytes[..], &[0]].concat(), Form::default()).is_err());
    }

    #[test]
    fn unions_stand_for_themselves_where_it_is_asked() {
        let schema = Schema::parse(SCHEMA).unwrap();
        let json = JSON.replace(r#"{"a.b.E":"A"}"#, r#""A""#).replace(r#"{"string":"z"}"#, r#""z""#);
        let unwrapped = Form { unwrapped: true, ..Form::default() };
        let bytes = encode(&schema, &Value::parse(json.as_bytes()).unwrap(), unwrapped).unwrap();
        assert_eq!(
            decode(&schema, &bytes, unwrapped).map(|text| Value::parse(text.as_bytes())),
            Ok(Value::parse(json.as_bytes()))
        );
        let bare = Form { omit_nulls: true, base64: true, ..unwrapped };
        let text = decode(&schema, &bytes, bare).unwrap();
        assert!(
            text.starts_with(r#"{"t":true"#) && text.contains(r#""y":"AP8=""#) && text.contains("[null,"),
            "{text}"
        );
        let text =
            text.replacen('{', r#"{"n":null,"more":[],"#, 1).replace("9223372036854775807", r#""9223372036854775807""#);
        let value = Value::parse(text.as_bytes()).unwrap();
        assert!(encode(&schema, &value, bare).is_err(), "a field that there is not");
        assert_eq!(encode(&schema, &value, Form { lenient: true, ..bare }), Ok(bytes));
        // The branches of a union are tried in turn, and what a branch has written is taken back.
        let text = r#"["null",{"type":"record","name":"A","fields":[{"name":"x","type":"long"},{"name":"y","type":"long"}]},
            {"type":"map","values":"string"}]"#;
        let schema = Schema::parse(text).unwrap();
        let json = r#"{"x":"1","y":"b"}"#;
        let bytes = encode(&schema, &Value::parse(json.as_bytes()).unwrap(), unwrapped).unwrap();
        assert_eq!(decode(&schema, &bytes, unwrapped).as_deref(), Ok(json));
    }

    #[test]
    fn trying_branches_has_an_end() {
        let text =
            r#"{"type":"record","name":"R","fields":[{"name":"a","type":["null","R","S"]},{"name":"z","type":"int"}]}"#;
        let text = text.replace(r#""S""#, r#"{"type":"record","name":"S","fields":[{"name":"a","type":["null","R","S"]},{"name":"z","type":"long"}]}"#);
        let schema = Schema::parse(&text).unwrap();
        let json = format!("{}null{}", r#"{"a":"#.repeat(30), r#","z":"no"}"#.repeat(30));
        assert!(
            encode(&schema, &Value::parse(json.as_bytes()).unwrap(), Form { unwrapped: true, ..Form::default() })
                .is_err()
        );
    }

    #[test]
    fn bytes_are_those_of_the_specification() {
        // Binary Encoding, "Complex Types".
        let schema = Schema::parse(
            r#"{"type":"record","name":"test","fields":[{"name":"a","type":"long"},{"name":"b","type":"string"}]}"#,
        )
        .unwrap();
        let value = Value::parse(br#"{"a":27,"b":"foo"}"#).unwrap();
        assert_eq!(encode(&schema, &value, Form::default()), Ok(vec![0x36, 0x06, 0x66, 0x6f, 0x6f]));
        let schema = Schema::parse(r#"{"type":"array","items":"long"}"#).unwrap();
        assert_eq!(decode(&schema, &[0x04, 0x06, 0x36, 0x00], Form::default()).as_deref(), Ok("[3,27]"));
        // A block whose size is told.
        assert_eq!(decode(&schema, &[0x03, 0x04, 0x06, 0x36, 0x00], Form::default()).as_deref(), Ok("[3,27]"));
    }

    #[test]
    fn what_is_hostile_is_refused() {
        let nulls = Schema::parse(r#"{"type":"array","items":"null"}"#).unwrap();
        let many = [0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01, 0x00];
        assert!(decode(&nulls, &many, Form::default()).is_err(), "2^63 values in no bytes");
        let least = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01, 0x00];
        assert!(decode(&nulls, &least, Form::default()).is_err());
        let text = Schema::parse("string").unwrap();
        assert_eq!(text.root, Type::String);
        for bytes in [&[0x01][..], &[0x04, 0x41], &[0x02, 0xff], &[0x80; 11], &many] {
            assert!(decode(&text, bytes, Form::default()).is_err(), "{bytes:?}");
        }
        let list =
            Schema::parse(r#"{"type":"record","name":"L","fields":[{"name":"next","type":["null","L"]}]}"#).unwrap();
        assert!(decode(&list, &[2; 100], Form::default()).is_err(), "too deep");
        let deep =
            Value::parse(format!("{}null{}", r#"{"next":{"L":"#.repeat(100), "}}".repeat(100)).as_bytes()).unwrap();
        assert!(encode(&list, &deep, Form::default()).is_err());
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
