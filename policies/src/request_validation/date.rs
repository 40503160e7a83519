//! Dates in the formats that Java's `SimpleDateFormat` names, as far as they have numbers only.

use ringway_contract::Refusal;

/// Parts that one format may have.
const PARTS_MAX: usize = 64;

/// A compiled format.
#[derive(Debug)]
pub struct Format(Box<[Part]>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Literal(char),
    /// A number of so many digits at least and at most.
    Number(Unit, usize, usize),
    AmPm,
    /// `Z`, or an offset such as `+0100`, `+01:00` and `+01`.
    Zone,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unit {
    Year,
    Month,
    Day,
    DayOfYear,
    Hour,
    HalfDayHour,
    Minute,
    Second,
    Fraction,
}

impl Format {
    /// Compiles a format such as `yyyy-MM-dd'T'HH:mm:ss.SSSX`.
    ///
    /// # Errors
    /// It has a letter that stands for a name, such as `MMM`, or for nothing; or a quote is not closed.
    pub fn new(field: &str, text: &str) -> Result<Self, Refusal> {
        let refused = |what: &str| Refusal(format!("{field}: {what} in the date format `{text}`"));
        let mut parts = Vec::new();
        let mut rest = text.chars().peekable();
        while let Some(letter) = rest.next() {
            if letter == '\'' {
                let from = parts.len();
                loop {
                    match rest.next() {
                        None => return Err(refused("a quote is not closed")),
                        Some('\'') => break,
                        Some(other) => parts.push(Part::Literal(other)),
                    }
                }
                // Two quotes are one.
                if parts.len() == from {
                    parts.push(Part::Literal('\''));
                }
                continue;
            }
            if !letter.is_ascii_alphabetic() {
                parts.push(Part::Literal(letter));
                continue;
            }
            let mut count = 1;
            while rest.next_if_eq(&letter).is_some() {
                count += 1;
            }
            let number = |unit, digits: usize| Part::Number(unit, count.min(digits), digits.max(count));
            parts.push(match (letter, count) {
                ('y' | 'u', 2) => Part::Number(Unit::Year, 2, 2),
                ('y' | 'u', 1..=4) => Part::Number(Unit::Year, 4, 4),
                ('M' | 'L', 1..=2) => number(Unit::Month, 2),
                ('d', 1..=2) => number(Unit::Day, 2),
                ('D', 1..=3) => number(Unit::DayOfYear, 3),
                ('H', 1..=2) => number(Unit::Hour, 2),
                ('h', 1..=2) => number(Unit::HalfDayHour, 2),
                ('m', 1..=2) => number(Unit::Minute, 2),
                ('s', 1..=2) => number(Unit::Second, 2),
                ('S', 1..=9) => Part::Number(Unit::Fraction, count, count),
                ('a', 1) => Part::AmPm,
                ('X' | 'x' | 'Z', 1..=3) => Part::Zone,
                _ => return Err(refused(&format!("`{letter}`, {count} times, is not known"))),
            });
        }
        if parts.is_empty() || parts.len() > PARTS_MAX {
            return Err(refused("there is nothing, or too much,"));
        }
        Ok(Self(parts.into()))
    }

    /// Whether a text is a date of this format that there is: no 30th of February.
    pub fn fits(&self, text: &str) -> bool {
        let (mut year, mut month, mut day) = (2000, 1, 1);
        let mut rest = text;
        for (at, part) in self.0.iter().enumerate() {
            let taken = match *part {
                Part::Literal(wanted) => rest.strip_prefix(wanted),
                Part::AmPm => rest.strip_prefix("AM").or_else(|| rest.strip_prefix("PM")),
                Part::Zone => zone(rest),
                Part::Number(unit, least, most) => {
                    // Where a number follows at once, digits cannot tell where this one ends but by their count.
                    let most = if matches!(self.0.get(at + 1), Some(Part::Number(..))) { least } else { most };
                    let digits = rest.bytes().take(most).take_while(u8::is_ascii_digit).count();
                    let number =
                        rest.get(..digits).filter(|_| digits >= least).and_then(|text| text.parse::<u32>().ok());
                    number.filter(|number| unit.takes(*number)).and_then(|number| {
                        match unit {
                            // Which century two digits mean does not matter but for leap years: 1900 was none.
                            Unit::Year => year = if digits == 2 { 2000 + number } else { number },
                            Unit::Month => month = number,
                            Unit::Day => day = number,
                            _ => {}
                        }
                        rest.get(digits..)
                    })
                }
            };
            let Some(taken) = taken else { return false };
            rest = taken;
        }
        rest.is_empty() && day <= days(year, month)
    }
}

impl Unit {
    fn takes(self, number: u32) -> bool {
        match self {
            Self::Year | Self::Fraction => true,
            Self::Month | Self::HalfDayHour => (1..=12).contains(&number),
            Self::Day => (1..=31).contains(&number),
            Self::DayOfYear => (1..=366).contains(&number),
            Self::Hour => number < 24,
            Self::Minute => number < 60,
            // A leap second is a 60th.
            Self::Second => number <= 60,
        }
    }
}

fn days(year: u32, month: u32) -> u32 {
    match month {
        2 if year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400)) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

fn zone(text: &str) -> Option<&str> {
    if let Some(rest) = text.strip_prefix('Z') {
        return Some(rest);
    }
    let two = |text: &'_ str, below: u32| {
        let digits = text.get(..2).filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()));
        digits.and_then(|digits| digits.parse::<u32>().ok()).is_some_and(|number| number < below)
    };
    let rest = text.strip_prefix(['+', '-']).filter(|rest| two(rest, 19))?.get(2..)?;
    let minutes = rest.strip_prefix(':').unwrap_or(rest);
    if two(minutes, 60) { minutes.get(2..) } else { Some(rest) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_told_from_what_is_none() {
        let fits = |format: &str, text: &str| Format::new("format", format).unwrap().fits(text);
        for (format, text) in [
            ("yyyy-MM-dd", "2024-02-29"),
            ("dd/MM/yyyy", "31/12/1999"),
            ("d.M.yy", "1.12.99"),
            ("yyyyMMdd", "20240229"),
            ("yyyy-MM-dd'T'HH:mm:ss.SSSX", "2024-02-29T23:59:60.123Z"),
            ("yyyy-MM-dd'T'HH:mm:ssXXX", "2024-02-29T00:00:00+05:30"),
            ("yyyy-MM-dd HH:mm:ss Z", "2024-02-29 00:00:00 -0800"),
            ("hh:mm a", "12:00 PM"),
            ("yyyy''DDD", "2024'366"),
        ] {
            assert!(fits(format, text), "{format} {text}");
        }
        for (format, text) in [
            ("yyyy-MM-dd", "2023-02-29"),
            ("yyyy-MM-dd", "1900-02-29"),
            ("yyyy-MM-dd", "2024-13-01"),
            ("yyyy-MM-dd", "2024-00-01"),
            ("yyyy-MM-dd", "2024-01-00"),
            ("yyyy-MM-dd", "2024-04-31"),
            ("yyyy-MM-dd", "2024-1-01"),
            ("yyyy-MM-dd", "24-01-01"),
            ("yyyy-MM-dd", "2024-01-01 "),
            ("yyyy-MM-dd", "2024-01-01T00:00"),
            ("yyyy-MM-dd", "٢٠٢٤-01-01"),
            ("yyyy-MM-dd", ""),
            ("HH:mm", "24:00"),
            ("hh:mm a", "13:00 PM"),
            ("HH:mmX", "10:00+99:00"),
        ] {
            assert!(!fits(format, text), "{format} {text}");
        }
        for format in ["", "yyyy-MMM-dd", "EEE", "yyyy'T", "q", "yyyyyy", &"'x'".repeat(65)] {
            assert!(Format::new("format", format).is_err(), "{format}");
        }
    }
}
