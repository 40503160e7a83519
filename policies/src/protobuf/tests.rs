#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use super::*;
use crate::json::Value;
use crate::varint;

const COMPACT: Printing = Printing { defaults: false, proto_names: false, sorted: false, compact: true };

const ALL: &str = r#"
    syntax = "proto3";
    package a.b;
    import "google/protobuf/timestamp.proto";
    import "google/protobuf/duration.proto";
    import "google/protobuf/wrappers.proto";
    import "google/protobuf/struct.proto";
    import "google/protobuf/field_mask.proto";
    import "google/protobuf/any.proto";
    import "google/protobuf/empty.proto";
    import "google/protobuf/descriptor.proto";
    option java_package = "a"; option (mine) = { a: 1, b: [ { c: 'x' } ] };
    extend google.protobuf.FieldOptions { string mine = 50000; }
    /* A message; with everything. */
    message All {
      reserved 1000 to max; reserved "gone";
      double d = 1; float f = 2; int32 i = 3; int64 l = 4; uint32 u = 5; uint64 ul = 6; sint32 s = 7; sint64 sl = 8;
      fixed32 x = 9; fixed64 xl = 10; sfixed32 sx = 11; sfixed64 sxl = 12; bool t = 13; string a_text = 14; bytes y = 15;
      Color color = 16; All.Inner inner = 17; repeated int32 packed_ones = 18; repeated int32 loose = 19 [packed = false];
      repeated string texts = 20; map<string, int32> counts = 21; map<int64, Inner> inners = 22; map<bool, Color> flags = 23;
      oneof choice { option (x).y = 1; string one = 24; Inner other = 25; int32 third = 26; }
      optional int32 maybe = 27; string named = 28 [json_name = "NAMED", deprecated = true, (mine) = "x", (a.b).c.(d) = { e: 1 }];
      google.protobuf.Timestamp at = 29; google.protobuf.Duration span = 30; google.protobuf.Int64Value wrapped = 31;
      google.protobuf.Struct tree = 32; google.protobuf.Value any_json = 33; google.protobuf.ListValue list = 34;
      google.protobuf.FieldMask mask = 35; google.protobuf.Any any = 36; .google.protobuf.Empty empty = 37;
      message Inner { int32 n = 1; Inner deeper = 2; repeated Inner many = 3; }
      enum Color { option allow_alias = true; RED = 0; GREEN = 1; VERT = 1; MINUS = -1 [deprecated = true]; }
    }
    service S { rpc Call(All) returns (stream All) { option (google.api.http) = { get: "/x" }; } }
"#;

fn value(text: &str) -> Value {
    Value::parse(text.as_bytes()).unwrap()
}

fn there_and_back(schema: &Schema, text: &str) -> Vec<u8> {
    let bytes = encode(schema, 0, &value(text)).unwrap();
    assert_eq!(decode(schema, 0, &bytes, COMPACT).as_deref(), Ok(text));
    bytes
}

#[test]
fn what_is_encoded_is_decoded() {
    let schema = compile(ALL, |_| None).unwrap();
    let text = concat!(
        r#"{"d":0.1,"f":0.1,"i":-5,"l":"-9223372036854775808","u":4294967295,"ul":"18446744073709551615","s":-2147483648,"#,
        r#""sl":"9007199254740993","x":1,"xl":"2","sx":-3,"sxl":"-4","t":true,"aText":"é\n","y":"AP8=","color":"GREEN","#,
        r#""inner":{"n":1,"deeper":{"n":2},"many":[{},{"n":3}]},"packedOnes":[1,-1,300],"loose":[7,8],"texts":["","b"],"#,
        r#""counts":{"":0,"k":-1},"inners":{"-1":{"n":9},"5":{}},"flags":{"true":"RED","false":"MINUS"},"third":0,"maybe":0,"#,
        r#""NAMED":"n","at":"2026-11-27T12:00:00.500Z","span":"-1.000000001s","wrapped":"0","#,
        r#""tree":{"a":[null,1.0,"x",true,{"b":{}}]},"anyJson":null,"list":[],"mask":"aB,c.dE","#,
        r#""any":{"@type":"type.googleapis.com/a.b.All.Inner","n":4},"empty":{}}"#
    );
    let bytes = there_and_back(&schema, text);
    for length in 0..bytes.len() {
        // What is cut off between two fields is a message, too.
        let _ = decode(&schema, 0, &bytes[..length], COMPACT);
    }
    there_and_back(&schema, r#"{"any":{"@type":"x/google.protobuf.Duration","value":"3s"}}"#);
    there_and_back(&schema, r#"{"d":"NaN","f":"-Infinity"}"#);
    there_and_back(&schema, "{}");
    // Names of the file, numbers as texts, URL-safe Base64 without padding, exponents, null for nothing.
    let other = value(
        r#"{"a_text":"x","l":1e3,"i":"7","y":"_-8","color":1,"inner":null,"d":"1.5","at":"1970-01-01T01:00:00+01:00"}"#,
    );
    let bytes = encode(&schema, 0, &other).unwrap();
    let text = r#"{"d":1.5,"i":7,"l":"1000","aText":"x","y":"/+8=","color":"GREEN","at":"1970-01-01T00:00:00Z"}"#;
    assert_eq!(decode(&schema, 0, &bytes, COMPACT).as_deref(), Ok(text));
}

#[test]
fn bytes_are_those_of_the_specification() {
    // Encoding, "A Simple Message", "Submessages", "Repeated Elements".
    let text = "syntax = 'proto3'; message Test1 { int32 a = 1; } message Test3 { Test1 c = 3; repeated int32 e = 6; string b = 2; }";
    let schema = compile(text, |_| None).unwrap();
    assert_eq!(encode(&schema, 0, &value(r#"{"a":150}"#)), Ok(vec![0x08, 0x96, 0x01]));
    let bytes = [0x12, 7, 0x74, 0x65, 0x73, 0x74, 0x69, 0x6e, 0x67, 0x1a, 3, 8, 0x96, 1, 0x32, 3, 3, 0x8e, 2];
    assert_eq!(encode(&schema, 1, &value(r#"{"b":"testing","c":{"a":150},"e":[3,270]}"#)), Ok(bytes.to_vec()));
    // Unpacked, packed twice, and parts of one message that lie apart.
    let bytes = [0x30, 1, 0x32, 2, 2, 3, 0x1a, 2, 8, 1, 0x32, 1, 4, 0x1a, 2, 8, 2, 0x7a, 1, 0];
    assert_eq!(decode(&schema, 1, &bytes, COMPACT).as_deref(), Ok(r#"{"c":{"a":2},"e":[1,2,3,4]}"#));
}

#[test]
fn proto2_has_groups_defaults_and_what_must_be_there() {
    let schema = compile(
        r#"message Old {
            required string id = 1; optional int32 n = 2 [default = 0x10]; optional group Result = 3 { optional bool ok = 1; }
            repeated int64 many = 4; optional Kind kind = 5 [default = B]; optional double d = 6 [default = -inf];
            optional bytes y = 7 [default = "\001\xff"]; extensions 100 to 199; enum Kind { A = 1; B = 2; }
        }
        extend Old { optional int32 more = 100; }"#,
        |_| None,
    )
    .unwrap();
    let bytes = there_and_back(&schema, r#"{"id":"a","result":{"ok":false},"many":["1","2"]}"#);
    assert_eq!(bytes, [0x0a, 1, b'a', 0x1b, 0x08, 0, 0x1c, 0x20, 1, 0x20, 2]);
    let all = Printing { defaults: true, ..COMPACT };
    let text = r#"{"id":"a","n":16,"many":[],"kind":"B","d":"-Infinity","y":"Af8="}"#;
    assert_eq!(decode(&schema, 0, &[0x0a, 1, b'a'], all).as_deref(), Ok(text));
    assert!(decode(&schema, 0, &[], COMPACT).is_err(), "no id");
    assert!(encode(&schema, 0, &value("{}")).is_err(), "no id");
}

#[test]
fn it_is_printed_as_it_is_asked() {
    let text = "syntax = 'proto3'; message M { map<int32, string> a_map = 1; repeated M kids = 2; int64 n = 3; optional int32 o = 4; oneof c { bool x = 5; } }";
    let schema = compile(text, |_| None).unwrap();
    let bytes = encode(&schema, 0, &value(r#"{"aMap":{"10":"b","9":"a"},"kids":[{},{"n":1}]}"#)).unwrap();
    let pretty = Printing { proto_names: true, sorted: true, ..Printing::default() };
    let text = "{\n  \"a_map\": {\n    \"9\": \"a\",\n    \"10\": \"b\"\n  },\n  \"kids\": [{\n  }, {\n    \"n\": \"1\"\n  }]\n}";
    assert_eq!(decode(&schema, 0, &bytes, pretty).as_deref(), Ok(text));
    let all = Printing { defaults: true, ..COMPACT };
    assert_eq!(decode(&schema, 0, &[], all).as_deref(), Ok(r#"{"aMap":{},"kids":[],"n":"0"}"#));
}

#[test]
fn of_a_oneof_the_last_one_counts() {
    let text = "syntax = 'proto3'; message M { oneof c { M a = 1; int32 b = 2; } int32 n = 3; }";
    let schema = compile(text, |_| None).unwrap();
    // a, n, b, and a again: what the first a had is gone.
    let bytes = [0x0a, 2, 0x18, 5, 0x18, 7, 0x10, 1, 0x0a, 2, 0x10, 2];
    assert_eq!(decode(&schema, 0, &bytes, COMPACT).as_deref(), Ok(r#"{"a":{"b":2},"n":7}"#));
    assert!(encode(&schema, 0, &value(r#"{"a":{},"b":1}"#)).is_err());
}

#[test]
fn indexes_count_messages_as_they_are_written() {
    let text =
        "syntax = 'proto3'; message A { message B {} map<string, B> m = 1; message C { message D {} } } message E {}";
    let schema = compile(text, |_| None).unwrap();
    let name = |indexes: &[usize]| schema.at(indexes).map(|place| schema.messages[place].name.as_str());
    assert_eq!(
        [name(&[0]), name(&[0, 1]), name(&[0, 1, 0]), name(&[1])],
        [Some("A"), Some("A.C"), Some("A.C.D"), Some("E")]
    );
    assert_eq!([name(&[]), name(&[2]), name(&[0, 2])], [None; 3]);
}

#[test]
fn imports_are_found_once_and_names_from_the_inside() {
    let text = "syntax = 'proto3'; package x.y; import 'one.proto'; import public 'two.proto'; message A { z.B b = 1; .x.z.B c = 2; B d = 3; message B {} }";
    let import = |path: &str| {
        let text = match path {
            "one.proto" => "syntax = 'proto3'; package x.z; import 'two.proto'; message B { int32 i = 1; }",
            "two.proto" => "syntax = 'proto3'; import 'one.proto';",
            _ => return None,
        };
        Some(text.to_owned())
    };
    let schema = compile(text, import).unwrap();
    there_and_back(&schema, r#"{"b":{"i":1},"c":{"i":2},"d":{}}"#);
    assert!(compile(text, |_| None).unwrap_err().0.contains(".proto`, which it imports"));
}

#[test]
fn what_is_hostile_is_refused() {
    let text = "syntax = 'proto3'; message M { M m = 1; repeated bool b = 2; string s = 3; repeated M many = 4; }";
    let schema = compile(text, |_| None).unwrap();
    let mut deep = Vec::new();
    for _ in 0..LEVELS_MAX + 1 {
        let inner = std::mem::take(&mut deep);
        deep.push(0x0a);
        varint::put(inner.len() as u64, &mut deep);
        deep.extend(inner);
    }
    assert!(decode(&schema, 0, &deep, COMPACT).is_err(), "too deep");
    let json = format!("{}{{}}{}", "{\"m\":".repeat(LEVELS_MAX + 1), "}".repeat(LEVELS_MAX + 1));
    assert!(encode(&schema, 0, &value(&json)).is_err(), "too deep");
    let mut packed = vec![0x12];
    varint::put(VALUES_MAX as u64 + 1, &mut packed);
    packed.resize(packed.len() + VALUES_MAX + 1, 1);
    assert!(decode(&schema, 0, &packed, COMPACT).is_err(), "too many");
    assert!(decode(&schema, 0, &[0x22, 0].repeat(VALUES_MAX), COMPACT).is_err(), "too many");
    let groups = [vec![0x7b; LEVELS_MAX + 2], vec![0x7c; LEVELS_MAX + 2]].concat();
    for bytes in [
        &[0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01][..],
        &[0x0a, 5, 0],
        &[0x1a, 1, 0xff],
        &[0x00, 0],
        &[0x0f, 0],
        &[0x7b],
        &[0x7b, 0x84, 1],
        &[0x7c],
        &[0x80; 11],
        &groups,
    ] {
        assert!(decode(&schema, 0, bytes, COMPACT).is_err(), "{bytes:?}");
    }
    // Unknown fields, in a group, too, and known ones of another kind are passed over.
    let unknown = [0x7b, 0x83, 1, 0x08, 1, 0x84, 1, 0x7c, 0x08, 1, 0x92, 0x4e, 1, 0, 0x1d, 1, 2, 3, 4];
    assert_eq!(decode(&schema, 0, &unknown, COMPACT).as_deref(), Ok("{}"));
    for json in [r#"{"x":1}"#, r#"{"m":[]}"#, r#"{"b":true}"#, r#"{"b":[1]}"#, r#"{"s":1}"#, "[]", "null"] {
        assert!(encode(&schema, 0, &value(json)).is_err(), "{json}");
    }
}

#[test]
fn what_is_no_schema_is_refused_with_its_line() {
    for (text, reason) in [
        ("", "no message"),
        ("message", "a name"),
        ("message M {", "line 1"),
        ("\n\nmessage M { optional x = 1; }", "line 3"),
        ("message M { int32 a = 1; }", "label"),
        ("syntax = 'proto4';", "proto2"),
        ("edition = '2023';", "editions"),
        ("syntax = 'proto3'; message M { int32 a = 0; }", "number"),
        ("syntax = 'proto3'; message M { int32 a = 536870912; }", "number"),
        ("syntax = 'proto3'; message M { int32 a = 1; int32 b = 1; }", "twice"),
        ("syntax = 'proto3'; message M { int32 a = 1; int32 a = 2; }", "twice"),
        ("syntax = 'proto3'; message M {} message M {}", "twice"),
        ("syntax = 'proto3'; message M { Nothing a = 1; }", "no type `Nothing`"),
        ("syntax = 'proto3'; message M { map<double, int32> a = 1; }", "key"),
        ("syntax = 'proto3'; message M { required int32 a = 1; }", "required"),
        ("message M { optional int32 a = 1 [default = x]; }", "default"),
        ("syntax = 'proto3'; enum E {}", "no value"),
        ("/*", "without an end"),
        ("message M { optional string a = 1 [default = \"", "without an end"),
        ("}", "statement"),
        ("option x = {", "end within"),
    ] {
        let refusal = compile(text, |_| None).unwrap_err().0;
        assert!(refusal.contains(reason), "{text}: {refusal}");
    }
    let deep = format!("{}{}", "message M { ".repeat(100_000), "}".repeat(100_000));
    assert!(compile(&deep, |_| None).is_err());
    let deep = format!("option x = {}{};", "{".repeat(100_000), "}".repeat(100_000));
    assert!(compile(&deep, |_| None).is_err(), "no message, and no overflow");
}
