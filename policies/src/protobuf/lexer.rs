//! Words of a `.proto` file.

use ringway_contract::Refusal;

/// A word.
#[derive(Clone, Debug, PartialEq)]
pub enum Token<'a> {
    /// A name without dots, or a key word.
    Name(&'a str),
    /// A number as it is written, without a sign.
    Number(&'a str),
    /// A string, without escapes: it may be bytes.
    Text(Vec<u8>),
    /// Anything else.
    Mark(char),
    /// Nothing is left.
    End,
}

/// Reads words, one ahead.
pub struct Lexer<'a> {
    text: &'a str,
    at: usize,
    ahead: Token<'a>,
}

impl<'a> Lexer<'a> {
    /// At the first word of a file.
    ///
    /// # Errors
    /// It is none.
    pub fn new(text: &'a str) -> Result<Self, Refusal> {
        let mut lexer = Self { text, at: 0, ahead: Token::End };
        lexer.ahead = lexer.read()?;
        Ok(lexer)
    }

    /// The next word, which stays.
    pub fn peek(&self) -> &Token<'a> {
        &self.ahead
    }

    /// The next word.
    ///
    /// # Errors
    /// What is behind it is no word.
    pub fn next(&mut self) -> Result<Token<'a>, Refusal> {
        let ahead = self.read()?;
        Ok(std::mem::replace(&mut self.ahead, ahead))
    }

    /// Takes the next word if it is this mark.
    ///
    /// # Errors
    /// As [`Lexer::next`].
    pub fn takes(&mut self, mark: char) -> Result<bool, Refusal> {
        let is = self.ahead == Token::Mark(mark);
        if is {
            self.next()?;
        }
        Ok(is)
    }

    /// Takes this mark.
    ///
    /// # Errors
    /// It is not there.
    pub fn expect(&mut self, mark: char) -> Result<(), Refusal> {
        if self.takes(mark)? { Ok(()) } else { Err(self.wrong(&format!("`{mark}` is expected"))) }
    }

    /// Takes a name.
    ///
    /// # Errors
    /// There is none.
    pub fn name(&mut self) -> Result<&'a str, Refusal> {
        match self.next()? {
            Token::Name(name) => Ok(name),
            _ => Err(self.wrong("a name is expected")),
        }
    }

    /// Takes a name that may have dots, also in front.
    ///
    /// # Errors
    /// There is none.
    pub fn path(&mut self) -> Result<String, Refusal> {
        let mut path = String::new();
        if self.takes('.')? {
            path.push('.');
        }
        path.push_str(self.name()?);
        while self.takes('.')? {
            path.push('.');
            path.push_str(self.name()?);
        }
        Ok(path)
    }

    /// Takes a string, or several behind one another.
    ///
    /// # Errors
    /// There is none.
    pub fn text(&mut self) -> Result<Vec<u8>, Refusal> {
        let Token::Text(mut text) = self.next()? else { return Err(self.wrong("a string is expected")) };
        while let Token::Text(more) = self.peek() {
            text.extend_from_slice(more);
            self.next()?;
        }
        Ok(text)
    }

    /// Takes a whole number, perhaps negative.
    ///
    /// # Errors
    /// There is none.
    pub fn whole(&mut self) -> Result<i64, Refusal> {
        let negative = self.takes('-')?;
        let Token::Number(digits) = self.next()? else { return Err(self.wrong("a number is expected")) };
        let number = whole(digits).and_then(|number| i64::try_from(number).ok());
        let number = number.ok_or_else(|| self.wrong("a whole number is expected"))?;
        Ok(if negative { -number } else { number })
    }

    /// Passes over everything up to the end of a statement: a `;`, or what is in braces.
    ///
    /// # Errors
    /// There is no end.
    pub fn skip_statement(&mut self) -> Result<(), Refusal> {
        let mut open = 0_usize;
        loop {
            match self.next()? {
                Token::Mark(';') if open == 0 => return Ok(()),
                Token::Mark('{') => open += 1,
                Token::Mark('}') => {
                    open = open.checked_sub(1).ok_or_else(|| self.wrong("a `}` too many"))?;
                    // An option's value in braces has its `;` behind it.
                    if open == 0 && *self.peek() != Token::Mark(';') {
                        return Ok(());
                    }
                }
                Token::End => return Err(self.wrong("the end within a statement")),
                _ => {}
            }
        }
    }

    /// A refusal that names the line.
    pub fn wrong(&self, what: &str) -> Refusal {
        let before = self.text.get(..self.at).unwrap_or(self.text);
        Refusal(format!("line {}: {what}", before.lines().count().max(1)))
    }

    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn skip_space(&mut self) -> Result<(), Refusal> {
        loop {
            let rest = self.rest();
            let trimmed = rest.trim_start();
            self.at += rest.len() - trimmed.len();
            if trimmed.starts_with("//") {
                self.at += trimmed.find('\n').unwrap_or(trimmed.len());
            } else if trimmed.starts_with("/*") {
                let end = trimmed.find("*/").ok_or_else(|| self.wrong("a comment without an end"))?;
                self.at += end + 2;
            } else {
                return Ok(());
            }
        }
    }

    fn read(&mut self) -> Result<Token<'a>, Refusal> {
        self.skip_space()?;
        let rest = self.rest();
        let Some(first) = rest.chars().next() else { return Ok(Token::End) };
        let length = |goes_on: fn(char) -> bool| rest.find(|c: char| !goes_on(c)).unwrap_or(rest.len());
        let second_is_digit = rest.as_bytes().get(1).is_some_and(u8::is_ascii_digit);
        let (token, length) = match first {
            'a'..='z' | 'A'..='Z' | '_' => {
                let length = length(|c| c.is_ascii_alphanumeric() || c == '_');
                (Token::Name(rest.get(..length).unwrap_or_default()), length)
            }
            '0'..='9' | '.' if first != '.' || second_is_digit => {
                let length = number_length(rest.as_bytes());
                (Token::Number(rest.get(..length).unwrap_or_default()), length)
            }
            '"' | '\'' => {
                let (text, length) = string(rest.as_bytes()).map_err(|what| self.wrong(what))?;
                (Token::Text(text), length)
            }
            mark => (Token::Mark(mark), mark.len_utf8()),
        };
        self.at += length;
        Ok(token)
    }
}

/// Letters, digits and dots; and a sign behind an exponent.
fn number_length(text: &[u8]) -> usize {
    let is_hex = text.get(1).is_some_and(|byte| byte.eq_ignore_ascii_case(&b'x'));
    let mut at = 0;
    while let Some(byte) = text.get(at) {
        let is_sign = matches!(byte, b'+' | b'-')
            && !is_hex
            && at.checked_sub(1).and_then(|at| text.get(at)).is_some_and(|byte| byte.eq_ignore_ascii_case(&b'e'));
        if !byte.is_ascii_alphanumeric() && *byte != b'.' && !is_sign {
            break;
        }
        at += 1;
    }
    at
}

/// A whole number: decimal, octal or hexadecimal.
pub fn whole(digits: &str) -> Option<u64> {
    if let Some(hex) = digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X")) {
        return u64::from_str_radix(hex, 16).ok();
    }
    match digits.strip_prefix('0') {
        Some(octal) if !octal.is_empty() => u64::from_str_radix(octal, 8).ok(),
        _ => digits.parse().ok(),
    }
}

/// A string at its opening quote, without escapes, and its length as it is written.
fn string(text: &[u8]) -> Result<(Vec<u8>, usize), &'static str> {
    let quote = text.first().copied().unwrap_or_default();
    let (mut out, mut at) = (Vec::new(), 1);
    loop {
        let byte = *text.get(at).ok_or("a string without an end")?;
        at += 1;
        match byte {
            b'\n' => return Err("a string without an end"),
            b'\\' => at += escape(text.get(at..).unwrap_or_default(), &mut out)?,
            byte if byte == quote => return Ok((out, at)),
            byte => out.push(byte),
        }
    }
}

/// What stands behind a backslash; how many bytes it is.
fn escape(text: &[u8], out: &mut Vec<u8>) -> Result<usize, &'static str> {
    let digits = |from: usize, most: usize, radix: u32| {
        let text = text.get(from..).unwrap_or_default();
        let count = text.iter().take(most).take_while(|byte| char::from(**byte).is_digit(radix)).count();
        let digits = text.get(..count).and_then(|digits| std::str::from_utf8(digits).ok());
        (digits.and_then(|digits| u32::from_str_radix(digits, radix).ok()), count)
    };
    let simple = match text.first().copied().unwrap_or_default() {
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'a' => 7,
        b'b' => 8,
        b'f' => 12,
        b'v' => 11,
        byte @ (b'\\' | b'\'' | b'"' | b'?') => byte,
        b'0'..=b'7' => {
            let (number, count) = digits(0, 3, 8);
            out.push(number.and_then(|number| u8::try_from(number).ok()).ok_or("an escape of no byte")?);
            return Ok(count);
        }
        b'x' | b'X' => {
            let (number, count) = digits(1, 2, 16);
            out.push(number.and_then(|number| u8::try_from(number).ok()).ok_or("an escape of no byte")?);
            return Ok(count + 1);
        }
        kind @ (b'u' | b'U') => {
            let wanted = if kind == b'u' { 4 } else { 8 };
            let (number, count) = digits(1, wanted, 16);
            let character = number.filter(|_| count == wanted).and_then(char::from_u32);
            let character = character.ok_or("an escape of no character")?;
            out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
            return Ok(count + 1);
        }
        _ => return Err("an unknown escape"),
    };
    out.push(simple);
    Ok(1)
}
