//! What a value must be.

use std::borrow::Cow;

use regex::Regex;
use ringway_contract::{Exchange, Needs, Refusal, Reply};
use schemars::JsonSchema;
use serde::Deserialize;

use super::date::Format;
use crate::pattern;
use crate::text::Text;

/// Which kind of constraint.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Type {
    /// There is a value.
    #[default]
    NotNull,
    /// A number, not less than the parameter.
    Min,
    /// A number, not more than the parameter.
    Max,
    /// An e-mail address.
    Mail,
    /// A date in the format of the parameter, such as `yyyy-MM-dd`.
    Date,
    /// A text that fits the regular expression of the parameter as a whole.
    Pattern,
    /// A text whose length in characters is between two parameters.
    Size,
    /// One of the parameters.
    Enum,
}

impl Type {
    /// The message of a violation; each `%s` is replaced by the value, then the parameters.
    fn message(self) -> &'static str {
        match self {
            Self::NotNull => "a value is required",
            Self::Min => "'%s' must not be less than '%s'",
            Self::Max => "'%s' must not be more than '%s'",
            Self::Mail => "'%s' must be an e-mail address",
            Self::Date => "'%s' must be a date of the form '%s'",
            Self::Pattern => "'%s' must fit the pattern '%s'",
            Self::Size => "the length of '%s' must be between '%s' and '%s'",
            Self::Enum => "'%s' must be one of the known values",
        }
    }

    /// How many parameters it needs at least.
    fn parameters_min(self) -> usize {
        match self {
            Self::NotNull | Self::Mail => 0,
            Self::Min | Self::Max | Self::Date | Self::Pattern | Self::Enum => 1,
            Self::Size => 2,
        }
    }
}

/// A compiled constraint.
#[derive(Debug)]
pub struct Constraint {
    kind: Type,
    parameters: Box<[Text]>,
    message: Option<String>,
    /// What is made of the parameters once, where they are the same for every request.
    compiled: Option<Check>,
}

/// A constraint with its parameters.
#[derive(Debug)]
enum Check {
    NotNull,
    Min(Number),
    Max(Number),
    Mail,
    Date(Format),
    Pattern(Regex),
    Size(usize, usize),
    Enum(Vec<String>),
}

impl Constraint {
    /// Compiles a constraint.
    ///
    /// # Errors
    /// Parameters are missing, or are not what the constraint takes.
    pub fn new(field: &str, kind: Type, parameters: &[String], message: Option<String>) -> Result<Self, Refusal> {
        let at = |at: usize| format!("{field}.parameters[{at}]");
        if parameters.len() < kind.parameters_min() {
            let needed = kind.parameters_min();
            return Err(Refusal(format!("{field}.parameters: this constraint needs {needed} of them")));
        }
        let texts = parameters.iter().enumerate().map(|(index, text)| Text::on_request(&at(index), text));
        let texts = texts.collect::<Result<Box<[Text]>, _>>()?;
        let constants: Option<Vec<&str>> = texts.iter().map(Text::constant).collect();
        let compiled = constants.map(|constants| Check::new(field, kind, &constants)).transpose()?;
        Ok(Self { kind, parameters: texts, message: message.filter(|message| !message.is_empty()), compiled })
    }

    /// What its parameters need.
    pub fn needs(&self) -> impl Iterator<Item = Needs> {
        self.parameters.iter().map(Text::needs)
    }

    /// What is wrong with a value; `None` if nothing is.
    ///
    /// # Errors
    /// The answer, when a parameter cannot be evaluated.
    pub fn violation(&self, value: Option<&str>, exchange: &Exchange) -> Result<Option<String>, Box<Reply>> {
        let holds = match &self.compiled {
            Some(check) => check.holds(value),
            None => {
                let parameters = self.render(exchange)?;
                let parameters: Vec<&str> = parameters.iter().map(|parameter| &**parameter).collect();
                // Parameters that this request makes useless let nothing pass.
                Check::new("", self.kind, &parameters).is_ok_and(|check| check.holds(value))
            }
        };
        if holds { Ok(None) } else { self.message(value, exchange).map(Some) }
    }

    fn render(&self, exchange: &Exchange) -> Result<Vec<Cow<'_, str>>, Box<Reply>> {
        self.parameters.iter().map(|text| text.render(exchange)).collect()
    }

    #[cold]
    fn message(&self, value: Option<&str>, exchange: &Exchange) -> Result<String, Box<Reply>> {
        let template = self.message.as_deref().unwrap_or(self.kind.message());
        let parameters = self.render(exchange)?;
        let mut values = std::iter::once(value.unwrap_or("null")).chain(parameters.iter().map(|text| &**text));
        let mut out = String::new();
        let mut parts = template.split("%s");
        out.push_str(parts.next().unwrap_or_default());
        for part in parts {
            out.push_str(values.next().unwrap_or("%s"));
            out.push_str(part);
        }
        Ok(out)
    }
}

impl Check {
    fn new(field: &str, kind: Type, parameters: &[&str]) -> Result<Self, Refusal> {
        let at = |index: usize| format!("{field}.parameters[{index}]");
        let parameter = |index: usize| parameters.get(index).copied().unwrap_or_default();
        let refused = |index: usize, what: &str| Refusal(format!("{}: `{}` is no {what}", at(index), parameter(index)));
        let number = |index: usize| Number::parse(parameter(index)).ok_or_else(|| refused(index, "number"));
        let length = |index: usize| parameter(index).parse().map_err(|_| refused(index, "length"));
        Ok(match kind {
            Type::NotNull => Self::NotNull,
            Type::Min => Self::Min(number(0)?),
            Type::Max => Self::Max(number(0)?),
            Type::Mail => Self::Mail,
            Type::Date => Self::Date(Format::new(&at(0), parameter(0))?),
            Type::Pattern => Self::Pattern(pattern::whole(&at(0), parameter(0))?),
            Type::Size => Self::Size(length(0)?, length(1)?),
            Type::Enum => Self::Enum(parameters.iter().map(ToString::to_string).collect()),
        })
    }

    fn holds(&self, value: Option<&str>) -> bool {
        let Some(value) = value else { return false };
        match self {
            Self::NotNull => true,
            Self::Min(least) => Number::parse(value).is_some_and(|number| number >= *least),
            Self::Max(most) => Number::parse(value).is_some_and(|number| number <= *most),
            Self::Mail => is_mail(value),
            Self::Date(format) => format.fits(value),
            Self::Pattern(regex) => regex.is_match(value),
            Self::Size(least, most) => (*least..=*most).contains(&value.chars().count()),
            Self::Enum(known) => known.iter().any(|known| known == value),
        }
    }
}

/// A decimal number, compared digit by digit: no rounding makes two of them equal.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Number {
    is_negative: bool,
    /// Without leading zeros.
    whole: String,
    /// Without trailing zeros.
    fraction: String,
}

impl Number {
    fn parse(text: &str) -> Option<Self> {
        let digits = text.strip_prefix('-');
        let (is_negative, digits) = digits.map_or((false, text), |digits| (true, digits));
        let (whole, fraction) = digits.split_once('.').map_or((digits, None), |(whole, part)| (whole, Some(part)));
        let are_digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        if !are_digits(whole) || !fraction.is_none_or(are_digits) {
            return None;
        }
        let whole = whole.trim_start_matches('0').to_owned();
        let fraction = fraction.unwrap_or_default().trim_end_matches('0').to_owned();
        let is_negative = is_negative && !(whole.is_empty() && fraction.is_empty());
        Some(Self { is_negative, whole, fraction })
    }
}

impl PartialOrd for Number {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        let size = |number: &Self| (number.whole.len(), number.whole.clone(), number.fraction.clone());
        Some(match (self.is_negative, other.is_negative) {
            (false, false) => size(self).cmp(&size(other)),
            (true, true) => size(other).cmp(&size(self)),
            (is_negative, _) => is_negative.cmp(&false).reverse(),
        })
    }
}

/// `local@domain` as RFC 5321 section 4.1.2 has it, without quotes and comments, and with a dot in the domain.
fn is_mail(text: &str) -> bool {
    let Some((local, domain)) = text.rsplit_once('@') else { return false };
    let is_atom = |atom: &str| {
        let extra = "!#$%&'*+-/=?^_`{|}~";
        !atom.is_empty() && atom.chars().all(|at| at.is_ascii_alphanumeric() || extra.contains(at) || !at.is_ascii())
    };
    let is_label = |label: &str| {
        let inner = |at: char| at.is_ascii_alphanumeric() || at == '-' || !at.is_ascii();
        (1..=63).contains(&label.len()) && label.chars().all(inner) && !label.starts_with('-') && !label.ends_with('-')
    };
    (1..=64).contains(&local.len())
        && domain.len() <= 255
        && local.split('.').all(is_atom)
        && domain.contains('.')
        && domain.split('.').all(is_label)
        && !text.chars().any(|at| at.is_control() || at.is_whitespace())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_compared_as_they_are_written() {
        let ordered =
            ["-10.5", "-10", "-9", "-0.1", "0", "0.09", "0.1", "9", "10", "9007199254740992", "9007199254740993"];
        for (at, less) in ordered.iter().enumerate() {
            for more in &ordered[at + 1..] {
                assert!(Number::parse(less) < Number::parse(more), "{less} {more}");
            }
        }
        assert_eq!(Number::parse("-0.0"), Number::parse("000"));
        for text in ["", "-", ".5", "5.", "1e9", "NaN", "Infinity", "0x10", "--1", "1,5", "1 2", " 1", "1\n"] {
            assert_eq!(Number::parse(text), None, "{text}");
        }
    }

    #[test]
    fn addresses_are_told_from_what_is_none() {
        for text in ["a@b.example", "first.last+tag@sub.example", "o'neil@é.example"] {
            assert!(is_mail(text), "{text}");
        }
        for text in [
            "",
            "a",
            "a@",
            "@b.example",
            "a@b",
            "a@b..example",
            "a..b@c.example",
            "a@-b.example",
            "a b@c.example",
            "a@b.example\n",
            "a@b@c .example",
        ] {
            assert!(!is_mail(text), "{text}");
        }
    }
}
