//! Messages that JSON has forms of its own for (ProtoJSON, "JSON Representation"), and the files in which they stand.

use std::fmt::Write;

/// The enumeration whose one value is `null`.
pub const NULL: &str = "google.protobuf.NullValue";

/// A message that JSON has a form of its own for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Known {
    /// A text: a time (RFC 3339).
    Timestamp,
    /// A text: seconds.
    Duration,
    /// The value in it.
    Wrapper,
    /// An object.
    Struct,
    /// Any JSON.
    Value,
    /// An array.
    List,
    /// A text: names of fields.
    Mask,
    /// An object that says of what type it is.
    Any,
}

impl Known {
    /// The one of this full name.
    pub fn of(name: &str) -> Option<Self> {
        Some(match name.strip_prefix("google.protobuf.")? {
            "Timestamp" => Self::Timestamp,
            "Duration" => Self::Duration,
            "DoubleValue" | "FloatValue" | "Int64Value" | "UInt64Value" | "Int32Value" | "UInt32Value"
            | "BoolValue" | "StringValue" | "BytesValue" => Self::Wrapper,
            "Struct" => Self::Struct,
            "Value" => Self::Value,
            "ListValue" => Self::List,
            "FieldMask" => Self::Mask,
            "Any" => Self::Any,
            _ => return None,
        })
    }
}

/// The text of a file that every compiler has. Of those that only describe options, the messages are left out.
pub fn file(path: &str) -> Option<&'static str> {
    Some(match path {
        "google/protobuf/timestamp.proto" => {
            "syntax = 'proto3'; package google.protobuf; message Timestamp { int64 seconds = 1; int32 nanos = 2; }"
        }
        "google/protobuf/duration.proto" => {
            "syntax = 'proto3'; package google.protobuf; message Duration { int64 seconds = 1; int32 nanos = 2; }"
        }
        "google/protobuf/wrappers.proto" => {
            "syntax = 'proto3'; package google.protobuf;
            message DoubleValue { double value = 1; } message FloatValue { float value = 1; }
            message Int64Value { int64 value = 1; } message UInt64Value { uint64 value = 1; }
            message Int32Value { int32 value = 1; } message UInt32Value { uint32 value = 1; }
            message BoolValue { bool value = 1; } message StringValue { string value = 1; }
            message BytesValue { bytes value = 1; }"
        }
        "google/protobuf/struct.proto" => {
            "syntax = 'proto3'; package google.protobuf; enum NullValue { NULL_VALUE = 0; }
            message Struct { map<string, Value> fields = 1; } message ListValue { repeated Value values = 1; }
            message Value { oneof kind { NullValue null_value = 1; double number_value = 2; string string_value = 3;
            bool bool_value = 4; Struct struct_value = 5; ListValue list_value = 6; } }"
        }
        "google/protobuf/field_mask.proto" => {
            "syntax = 'proto3'; package google.protobuf; message FieldMask { repeated string paths = 1; }"
        }
        "google/protobuf/any.proto" => {
            "syntax = 'proto3'; package google.protobuf; message Any { string type_url = 1; bytes value = 2; }"
        }
        "google/protobuf/empty.proto" => "syntax = 'proto3'; package google.protobuf; message Empty {}",
        "confluent/type/decimal.proto" => {
            "syntax = 'proto3'; package confluent.type;
            message Decimal { bytes value = 1; uint32 precision = 2; int32 scale = 3; }"
        }
        "google/protobuf/descriptor.proto" | "confluent/meta.proto" => "syntax = 'proto3';",
        _ => return None,
    })
}

/// The years 1 to 9999.
const TIMES: std::ops::RangeInclusive<i64> = -62_135_596_800..=253_402_300_799;
/// About 10,000 years.
const DURATION_SECONDS_MAX: i64 = 315_576_000_000;
const NANOS: i64 = 1_000_000_000;
const DAY_SECONDS: i64 = 86_400;

/// A fraction of a second: nothing, or three, six or nine digits.
fn put_nanos(nanos: i64, out: &mut String) {
    let _ = match nanos {
        0 => Ok(()),
        nanos if nanos % 1_000_000 == 0 => write!(out, ".{:03}", nanos / 1_000_000),
        nanos if nanos % 1_000 == 0 => write!(out, ".{:06}", nanos / 1_000),
        nanos => write!(out, ".{nanos:09}"),
    };
}

/// A time as a text.
pub fn shown_time(seconds: i64, nanos: i64) -> Option<String> {
    if !TIMES.contains(&seconds) || !(0..NANOS).contains(&nanos) {
        return None;
    }
    // The civil date of a day: years begin in March, so that the leap day is the last one.
    let days = seconds.div_euclid(DAY_SECONDS) + 719_468;
    let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let second = seconds.rem_euclid(DAY_SECONDS);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    let mut out = format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}");
    put_nanos(nanos, &mut out);
    out.push('Z');
    Some(out)
}

/// Digits only, of this count.
fn digits(text: &str, count: usize) -> Option<(i64, &str)> {
    let (digits, rest) =
        text.split_at_checked(count).filter(|(digits, _)| digits.bytes().all(|b| b.is_ascii_digit()))?;
    Some((digits.parse().ok()?, rest))
}

/// One to nine digits behind a dot, as nanoseconds.
fn fraction(text: &str) -> Option<(i64, &str)> {
    let Some(rest) = text.strip_prefix('.') else { return Some((0, text)) };
    let count = rest.bytes().take_while(u8::is_ascii_digit).count();
    let scale = u32::try_from(count).ok().filter(|count| (1..=9).contains(count))?;
    let (number, rest) = digits(rest, count)?;
    Some((number * 10_i64.pow(9 - scale), rest))
}

/// Seconds and nanoseconds of a time (RFC 3339).
pub fn read_time(text: &str) -> Option<(i64, i64)> {
    let (year, rest) = digits(text, 4)?;
    let (month, rest) = digits(rest.strip_prefix('-')?, 2)?;
    let (day, rest) = digits(rest.strip_prefix('-')?, 2)?;
    let (hour, rest) = digits(rest.strip_prefix(['T', 't'])?, 2)?;
    let (minute, rest) = digits(rest.strip_prefix(':')?, 2)?;
    let (second, rest) = digits(rest.strip_prefix(':')?, 2)?;
    let (nanos, rest) = fraction(rest)?;
    let offset = match rest {
        "Z" | "z" => 0,
        rest => {
            let (sign, rest) = match rest.strip_prefix('-') {
                Some(rest) => (-1, rest),
                None => (1, rest.strip_prefix('+')?),
            };
            let (hours, rest) = digits(rest, 2)?;
            let (minutes, rest) = digits(rest.strip_prefix(':')?, 2)?;
            if !rest.is_empty() || hours > 23 || minutes > 59 {
                return None;
            }
            sign * (hours * 3600 + minutes * 60)
        }
    };
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = match month {
        2 => 28 + i64::from(is_leap),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    };
    if !(1..=12).contains(&month) || !(1..=days).contains(&day) || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let (year, month) = if month <= 2 { (year - 1, month + 9) } else { (year, month - 3) };
    let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + (153 * month + 2) / 5 + day - 1;
    let days = era * 146_097 + day_of_era - 719_468;
    let seconds = days * DAY_SECONDS + hour * 3600 + minute * 60 + second - offset;
    TIMES.contains(&seconds).then_some((seconds, nanos))
}

/// A duration as a text.
pub fn shown_duration(seconds: i64, nanos: i64) -> Option<String> {
    let is_one_way = (seconds >= 0 && nanos >= 0) || (seconds <= 0 && nanos <= 0);
    let fits =
        (-DURATION_SECONDS_MAX..=DURATION_SECONDS_MAX).contains(&seconds) && (-NANOS + 1..NANOS).contains(&nanos);
    if !is_one_way || !fits {
        return None;
    }
    let mut out = String::from(if seconds < 0 || nanos < 0 { "-" } else { "" });
    let _ = write!(out, "{}", seconds.abs());
    put_nanos(nanos.abs(), &mut out);
    out.push('s');
    Some(out)
}

/// Seconds and nanoseconds of a duration.
pub fn read_duration(text: &str) -> Option<(i64, i64)> {
    let text = text.strip_suffix('s')?;
    let (sign, text) = text.strip_prefix('-').map_or((1, text), |text| (-1, text));
    let count = text.bytes().take_while(u8::is_ascii_digit).count();
    let (seconds, rest) = digits(text, count.clamp(1, 12))?;
    let (nanos, rest) = fraction(rest)?;
    (rest.is_empty() && seconds <= DURATION_SECONDS_MAX).then_some((sign * seconds, sign * nanos))
}
