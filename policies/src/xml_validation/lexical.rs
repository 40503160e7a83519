//! How values are written (XML Schema Part 2), and what they amount to where values are compared.

use std::cmp::Ordering;

/// The primitive types.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Primitive {
    /// `string`
    String,
    /// `boolean`
    Boolean,
    /// `decimal`
    Decimal,
    /// `float` and `double`
    Float,
    /// `duration`
    Duration,
    /// `dateTime`
    DateTime,
    /// `date`
    Date,
    /// `time`
    Time,
    /// `gYearMonth`
    YearMonth,
    /// `gYear`
    Year,
    /// `gMonthDay`
    MonthDay,
    /// `gDay`
    Day,
    /// `gMonth`
    Month,
    /// `hexBinary`
    Hex,
    /// `base64Binary`
    Base64,
    /// `anyURI`
    Uri,
    /// `QName`
    QName,
}

/// A value that others can be compared with.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// A decimal number, in its shortest form.
    Decimal(String),
    /// A floating number.
    Float(f64),
    /// Nanoseconds from a fixed moment. What has no time zone is taken as UTC.
    Moment(i128),
}

impl Value {
    /// The value of a text; `None` for types whose values have no order here.
    pub fn of(primitive: Primitive, text: &str) -> Option<Self> {
        match primitive {
            Primitive::Decimal => decimal(text).map(Self::Decimal),
            Primitive::Float => float(text).map(Self::Float),
            Primitive::DateTime | Primitive::Date | Primitive::Time => moment(primitive, text).map(Self::Moment),
            _ => None,
        }
    }

    /// How it compares with another of the same type.
    pub fn compare(&self, other: &Self) -> Option<Ordering> {
        match (self, other) {
            (Self::Decimal(one), Self::Decimal(other)) => Some(compare_decimals(one, other)),
            (Self::Float(one), Self::Float(other)) => one.partial_cmp(other),
            (Self::Moment(one), Self::Moment(other)) => Some(one.cmp(other)),
            _ => None,
        }
    }
}

/// Whether a text is one of a type.
pub fn is_written(primitive: Primitive, text: &str) -> bool {
    match primitive {
        Primitive::String => true,
        // Spaces are the one thing that every processor agrees on.
        Primitive::Uri => !text.contains(' '),
        Primitive::Boolean => matches!(text, "true" | "false" | "1" | "0"),
        Primitive::Decimal => decimal(text).is_some(),
        Primitive::Float => float(text).is_some(),
        Primitive::Duration => is_duration(text),
        Primitive::Hex => text.len().is_multiple_of(2) && text.bytes().all(|byte| byte.is_ascii_hexdigit()),
        Primitive::Base64 => base64_length(text).is_some(),
        Primitive::QName => is_qname(text),
        _ => moment(primitive, text).is_some(),
    }
}

/// Bytes that a text of base64 stands for.
pub fn base64_length(text: &str) -> Option<usize> {
    let digits: Vec<u8> = text.bytes().filter(|byte| *byte != b' ').collect();
    let padding = digits.iter().rev().take_while(|byte| **byte == b'=').count();
    let body = digits.get(..digits.len() - padding)?;
    let known = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/');
    let fits = digits.len().is_multiple_of(4) && padding <= 2 && body.iter().all(known);
    fits.then(|| digits.len() / 4 * 3 - padding)
}

/// Digits of a decimal number: all, and those behind the point.
pub fn digits(text: &str) -> (usize, usize) {
    let short = decimal(text).unwrap_or_default();
    let short = short.trim_start_matches('-');
    let (whole, fraction) = short.split_once('.').unwrap_or((short, ""));
    let whole = if whole == "0" && !fraction.is_empty() { 0 } else { whole.len() };
    (whole + fraction.len(), fraction.len())
}

/// The shortest form of a decimal number.
pub fn decimal(text: &str) -> Option<String> {
    let (sign, number) = match text.strip_prefix('-') {
        Some(number) => ("-", number),
        None => ("", text.strip_prefix('+').unwrap_or(text)),
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let is_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if (whole.is_empty() && fraction.is_empty()) || !is_digits(whole) || !is_digits(fraction) {
        return None;
    }
    let (whole, fraction) = (whole.trim_start_matches('0'), fraction.trim_end_matches('0'));
    let (sign, whole) =
        if whole.is_empty() { (if fraction.is_empty() { "" } else { sign }, "0") } else { (sign, whole) };
    let point = if fraction.is_empty() { "" } else { "." };
    Some(format!("{sign}{whole}{point}{fraction}"))
}

fn compare_decimals(one: &str, other: &str) -> Ordering {
    let parts = |text: &str| {
        let number = text.trim_start_matches('-').to_owned();
        let (whole, fraction) = number
            .split_once('.')
            .map_or((number.clone(), String::new()), |(whole, fraction)| (whole.to_owned(), fraction.to_owned()));
        (text.starts_with('-'), whole, fraction)
    };
    let ((one_negative, one_whole, one_fraction), (negative, whole, fraction)) = (parts(one), parts(other));
    let sizes = one_whole.len().cmp(&whole.len()).then(one_whole.cmp(&whole)).then(one_fraction.cmp(&fraction));
    match (one_negative, negative) {
        (true, false) => Ordering::Less,
        (false, true) => Ordering::Greater,
        (true, true) => sizes.reverse(),
        (false, false) => sizes,
    }
}

fn float(text: &str) -> Option<f64> {
    match text {
        "INF" | "+INF" => return Some(f64::INFINITY),
        "-INF" => return Some(f64::NEG_INFINITY),
        "NaN" => return Some(f64::NAN),
        _ => {}
    }
    let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let exponent = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
    let is_exponent = !exponent.is_empty() && exponent.bytes().all(|byte| byte.is_ascii_digit());
    if is_exponent && decimal(mantissa).is_some() { text.parse().ok() } else { None }
}

fn is_qname(text: &str) -> bool {
    let (prefix, local) = text.split_once(':').unwrap_or(("x", text));
    [prefix, local].iter().all(|part| crate::xml::is_name(part) && !part.contains(':'))
}

fn is_duration(text: &str) -> bool {
    let Some(rest) = text.strip_prefix('-').unwrap_or(text).strip_prefix('P') else { return false };
    let (date, time) = rest.split_once('T').map_or((rest, None), |(date, time)| (date, Some(time)));
    let parts = |text: &str, units: &str, fraction: bool| {
        let (mut rest, mut units, mut any) = (text, units, false);
        while !rest.is_empty() {
            let length = rest.find(|character: char| !character.is_ascii_digit() && character != '.')?;
            let (number, unit) = (rest.get(..length)?, rest.get(length..)?.chars().next()?);
            let at = units.find(unit)?;
            let (whole, part) = number.split_once('.').map_or((number, None), |(whole, part)| (whole, Some(part)));
            let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
            if !is_number(whole) || part.is_some_and(|part| !fraction || unit != 'S' || !is_number(part)) {
                return None;
            }
            units = units.get(at + 1..)?;
            rest = rest.get(length + 1..)?;
            any = true;
        }
        Some(any)
    };
    match (parts(date, "YMD", false), time.map(|time| parts(time, "HMS", true))) {
        (Some(any), None) => any,
        (Some(_), Some(Some(any))) => any,
        _ => false,
    }
}

/// What is left of a text that is read from its start.
struct Rest<'a>(&'a str);

impl Rest<'_> {
    fn take(&mut self, token: &str) -> Option<()> {
        self.0 = self.0.strip_prefix(token)?;
        Some(())
    }

    /// So many digits.
    fn number(&mut self, length: usize) -> Option<i128> {
        let digits = self.0.get(..length).filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))?;
        self.0 = self.0.get(length..)?;
        digits.parse().ok()
    }

    /// A number between two others.
    fn two(&mut self, from: i128, to: i128) -> Option<i128> {
        self.number(2).filter(|number| (from..=to).contains(number))
    }

    /// Four digits or more, up to nine.
    fn year(&mut self) -> Option<i128> {
        let negative = self.take("-").is_some();
        let length = self.0.bytes().take_while(u8::is_ascii_digit).count();
        let leading_zero = length > 4 && self.0.starts_with('0');
        let year = self.number(Some(length).filter(|length| (4..=9).contains(length) && !leading_zero)?)?;
        Some(if negative { -year } else { year })
    }

    /// Nanoseconds of a time of day.
    fn time(&mut self) -> Option<i128> {
        let hour = self.two(0, 24)?;
        self.take(":")?;
        let minute = self.two(0, 59)?;
        self.take(":")?;
        let second = self.two(0, 59)?;
        let mut nanos = 0;
        if self.take(".").is_some() {
            let length = self.0.bytes().take_while(u8::is_ascii_digit).count();
            let fraction = self.0.get(..length).filter(|fraction| !fraction.is_empty())?;
            self.0 = self.0.get(length..)?;
            let nine = fraction.bytes().chain(std::iter::repeat(b'0')).take(9);
            nanos = nine.fold(0, |sum, digit| sum * 10 + i128::from(digit - b'0'));
        }
        let of_day = ((hour * 60 + minute) * 60 + second) * 1_000_000_000 + nanos;
        Some(of_day).filter(|of_day| *of_day <= DAY_NS)
    }

    /// Nanoseconds that a time zone is ahead of UTC; the end of the text.
    fn zone(&mut self) -> Option<i128> {
        let zone = match self.0 {
            "" => return Some(0),
            "Z" => return Some(0),
            other => other,
        };
        let sign = if zone.starts_with('-') { -1 } else { 1 };
        self.0 = zone.strip_prefix(['+', '-'])?;
        let hours = self.two(0, 14)?;
        self.take(":")?;
        let minutes = self.two(0, if hours == 14 { 0 } else { 59 })?;
        self.0.is_empty().then_some(sign * (hours * 60 + minutes) * 60 * 1_000_000_000)
    }
}

const DAY_NS: i128 = 86_400_000_000_000;

fn month_days(year: i128, month: i128) -> i128 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        _ => 31,
    }
}

/// Days from 1 March of the year 0, in the calendar of Gregory (which has a year 0, as XML Schema 1.1 says).
fn days(year: i128, month: i128, day: i128) -> i128 {
    let (year, month) = if month < 3 { (year - 1, month + 9) } else { (year, month - 3) };
    year * 365 + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400) + (month * 153 + 2) / 5 + day - 1
}

fn moment(primitive: Primitive, text: &str) -> Option<i128> {
    let mut rest = Rest(text);
    // A leap year, where none is written: 29 February is a day of some years.
    let (mut year, mut month, mut day, mut time) = (2000, 1, 1, 0);
    match primitive {
        Primitive::DateTime | Primitive::Date | Primitive::YearMonth | Primitive::Year => {
            year = rest.year()?;
            if primitive != Primitive::Year {
                rest.take("-")?;
                month = rest.two(1, 12)?;
            }
            if matches!(primitive, Primitive::DateTime | Primitive::Date) {
                rest.take("-")?;
                day = rest.two(1, month_days(year, month))?;
            }
            if primitive == Primitive::DateTime {
                rest.take("T")?;
                time = rest.time()?;
            }
        }
        Primitive::Time => time = rest.time()?,
        Primitive::MonthDay => {
            rest.take("--")?;
            month = rest.two(1, 12)?;
            rest.take("-")?;
            day = rest.two(1, month_days(year, month))?;
        }
        Primitive::Month => {
            rest.take("--")?;
            month = rest.two(1, 12)?;
        }
        Primitive::Day => {
            rest.take("---")?;
            day = rest.two(1, 31)?;
        }
        _ => return None,
    }
    let zone = rest.zone()?;
    Some(days(year, month, day) * DAY_NS + time - zone)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_written_in_their_ways() {
        let table: [(Primitive, &[&str], &[&str]); 12] = [
            (Primitive::Boolean, &["true", "0"], &["TRUE", "", "2"]),
            (Primitive::Decimal, &["-1.50", "+.5", "1.", "00"], &["", ".", "1e3", "1,5", "--1"]),
            (Primitive::Float, &["1e3", "-.5E-10", "INF", "NaN"], &["", "e3", "1e", "inf", "0x1"]),
            (
                Primitive::Duration,
                &["P1Y2M3DT4H5M6.7S", "-PT0S", "P0D"],
                &["", "P", "PT", "P1S", "P1.5Y", "P1M1Y", "1Y"],
            ),
            (
                Primitive::DateTime,
                &["2024-02-29T24:00:00Z", "-0001-01-01T00:00:00.123+14:00"],
                &[
                    "2023-02-29T00:00:00",
                    "2024-1-1T00:00:00",
                    "2024-01-01",
                    "2024-01-01T24:00:01",
                    "2024-01-01T00:00:00+15:00",
                ],
            ),
            (Primitive::Date, &["2024-12-31", "12024-01-01-05:00"], &["2024-13-01", "024-01-01", "02024-01-01"]),
            (Primitive::Time, &["23:59:59.9"], &["23:60:00", "1:00:00", "23:59:59."]),
            (Primitive::MonthDay, &["--02-29"], &["--02-30", "02-01"]),
            (Primitive::Day, &["---31Z"], &["---32"]),
            (Primitive::Hex, &["", "0aFF"], &["0", "0g"]),
            (Primitive::Base64, &["", "QUJD", "QQ=="], &["Q", "QQ=", "Q===", "QU!D"]),
            (Primitive::QName, &["a", "a:b"], &["", "a:", ":b", "a:b:c", "1"]),
        ];
        for (primitive, good, bad) in table {
            for text in good {
                assert!(is_written(primitive, text), "{primitive:?} {text}");
            }
            for text in bad {
                assert!(!is_written(primitive, text), "{primitive:?} {text}");
            }
        }
    }

    #[test]
    fn values_have_an_order() {
        let table = [
            (Primitive::Decimal, "-10", "-9.99"),
            (Primitive::Decimal, "-0.1", "0"),
            (Primitive::Decimal, "0.10", "0.11"),
            (Primitive::Decimal, "99999999999999999999", "100000000000000000000"),
            (Primitive::Float, "-INF", "1e300"),
            (Primitive::DateTime, "2024-01-01T00:00:00+01:00", "2024-01-01T00:00:00Z"),
            (Primitive::Date, "2023-12-31", "2024-01-01"),
            (Primitive::Date, "2024-02-29", "2024-03-01"),
            (Primitive::Date, "-0001-12-31", "0001-01-01"),
            (Primitive::Time, "00:00:00.1", "00:00:00.11"),
        ];
        for (primitive, less, more) in table {
            let (less_value, more_value) = (Value::of(primitive, less).unwrap(), Value::of(primitive, more).unwrap());
            assert_eq!(less_value.compare(&more_value), Some(Ordering::Less), "{less} {more}");
        }
        assert_eq!(decimal("-00.500"), Some("-0.5".into()));
        assert_eq!((digits("0.05"), digits("120"), digits("-1.20")), ((2, 2), (3, 0), (2, 1)));
    }
}
