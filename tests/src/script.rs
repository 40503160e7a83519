//! Cases as text: what a client and a backend say, and what must reach the other side, byte for byte.
//!
//! ```text
//! # A comment. Settings come before the first case: lines of `ringway.yaml`.
//! % http: { via: gw }
//! = 9112-6.3 two lengths that differ        a case: the sections it is about, and its name
//! ? why a stricter answer would be wrong    a remark for the table of verdicts
//! > POST / HTTP/1.1                         the client sends
//! >> POST / HTTP/1.1                        must be the next line that arrives at the backend
//! << HTTP/1.1 200 OK                        the backend sends
//! < HTTP/1.1 200 OK                         must be the next line that arrives at the client
//! < ...                                     any lines, up to the one that follows
//! <! 400 BAD_HOST                           the client is refused: this status and key, then the end of the connection
//! <~ 502 BACKEND_INVALID                    the same, and the connection may stay
//! >| <<|                                    the client stops sending; the backend closes
//! <| >>|                                    the client, the backend sees the end of the connection
//! >+                                        the client goes on over another connection
//! ok                                        the backend answers 200 with `ok`, and the client gets just that
//! ```
//!
//! A line stands for itself and CRLF, or without it when it ends in `\`. In it `\r`, `\n`, `\t`, `\0`, `\\` and `\xHH` are bytes,
//! and `\(100*ab)` is `ab` a hundred times. `Date` of a response is passed over unless it is asked for.

/// A file of cases.
#[derive(Debug)]
pub struct Script {
    /// Lines for `ringway.yaml`.
    pub settings: String,
    /// The cases, in the order of the file.
    pub cases: Vec<Case>,
}

/// One case.
#[derive(Debug)]
pub struct Case {
    /// The sections of RFCs that it is about, as `9112-6.3`; or another word for where it comes from.
    pub sections: String,
    /// What it shows.
    pub name: String,
    /// A remark for the table of verdicts.
    pub remark: String,
    /// The line of the file that it begins at.
    pub line: usize,
    /// What happens, in order.
    pub steps: Vec<Step>,
}

/// One thing that is done or expected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// The client sends.
    Send(Vec<u8>),
    /// The client sends no more.
    SendEnd,
    /// The client opens another connection.
    Reconnect,
    /// These bytes are the next at the backend.
    Arrives(Vec<u8>),
    /// The backend sees the end of its connection.
    ArrivesEnd,
    /// The backend sends.
    Answer(Vec<u8>),
    /// The backend closes.
    AnswerEnd,
    /// This line is the next at the client; after any others when `skip` is set.
    Receives {
        /// With its line end.
        line: Vec<u8>,
        /// Whether other lines may stand before it.
        skip: bool,
    },
    /// The client sees the end of its connection.
    ReceivesEnd,
    /// The client is refused.
    Refused {
        /// The status.
        status: u16,
        /// The key of the problem document.
        key: String,
        /// Whether the connection ends with it.
        ends: bool,
    },
}

/// The plain answer of `ok`.
pub const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

impl Script {
    /// Reads a file; a line that is none of the format fails the test.
    pub fn parse(text: &str) -> Script {
        let mut script = Script { settings: String::new(), cases: Vec::new() };
        for (at, line) in text.lines().enumerate() {
            let line_number = at + 1;
            let (mark, rest) = line.split_once(' ').unwrap_or((line, ""));
            match mark {
                "" | "#" => {}
                "%" if script.cases.is_empty() => script.settings += &format!("{rest}\n"),
                "=" => {
                    let (sections, name) = rest.split_once(' ').unwrap_or_else(|| bad(line_number, line));
                    script.cases.push(Case {
                        sections: sections.to_owned(),
                        name: name.to_owned(),
                        remark: String::new(),
                        line: line_number,
                        steps: Vec::new(),
                    });
                }
                _ => {
                    let case = script.cases.last_mut().unwrap_or_else(|| bad(line_number, line));
                    case.read(mark, rest).unwrap_or_else(|| bad(line_number, line));
                }
            }
        }
        script
    }
}

fn bad(number: usize, line: &str) -> ! {
    panic!("line {number} of the script is none: {line:?}")
}

impl Case {
    /// Whether Ringway refuses what the client sends.
    pub fn is_refused(&self) -> bool {
        self.steps.iter().any(|step| matches!(step, Step::Refused { ends: true, .. }))
    }

    /// What the client sends before anything else happens.
    pub fn opening(&self) -> &[u8] {
        match self.steps.first() {
            Some(Step::Send(bytes)) => bytes,
            _ => &[],
        }
    }

    fn read(&mut self, mark: &str, rest: &str) -> Option<()> {
        match mark {
            "?" => self.remark = rest.to_owned(),
            ">" => match (self.steps.last_mut(), bytes(rest)?) {
                (Some(Step::Send(sent)), more) => sent.extend_from_slice(&more),
                (_, sent) => self.steps.push(Step::Send(sent)),
            },
            ">>" => match (self.steps.last_mut(), bytes(rest)?) {
                (Some(Step::Arrives(wanted)), more) => wanted.extend_from_slice(&more),
                (_, wanted) => self.steps.push(Step::Arrives(wanted)),
            },
            "<<" => match (self.steps.last_mut(), bytes(rest)?) {
                (Some(Step::Answer(sent)), more) => sent.extend_from_slice(&more),
                (_, sent) => self.steps.push(Step::Answer(sent)),
            },
            "<" if rest == "..." => self.steps.push(Step::Receives { line: Vec::new(), skip: true }),
            "<" => match (self.steps.last_mut(), bytes(rest)?) {
                (Some(Step::Receives { line, skip: true }), wanted) if line.is_empty() => *line = wanted,
                (_, line) => self.steps.push(Step::Receives { line, skip: false }),
            },
            "<!" | "<~" => {
                let (status, key) = rest.split_once(' ')?;
                let status = status.parse().ok()?;
                self.steps.push(Step::Refused { status, key: key.to_owned(), ends: mark == "<!" });
            }
            ">|" => self.steps.push(Step::SendEnd),
            ">>|" => self.steps.push(Step::ArrivesEnd),
            "<<|" => self.steps.push(Step::AnswerEnd),
            "<|" => self.steps.push(Step::ReceivesEnd),
            ">+" => self.steps.push(Step::Reconnect),
            "ok" => {
                self.steps.push(Step::Answer(OK.to_vec()));
                for line in OK.split_inclusive(|byte| *byte == b'\n') {
                    self.steps.push(Step::Receives { line: line.to_vec(), skip: false });
                }
            }
            _ => return None,
        }
        Some(())
    }
}

/// The bytes that a line stands for.
fn bytes(text: &str) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    let mut rest = text;
    while let Some(next) = rest.chars().next() {
        if next != '\\' {
            out.extend_from_slice(rest.get(..next.len_utf8())?.as_bytes());
            rest = rest.get(next.len_utf8()..)?;
            continue;
        }
        let mut taken = 2;
        match rest.as_bytes().get(1) {
            None => return Some(out),
            Some(b'r') => out.push(b'\r'),
            Some(b'n') => out.push(b'\n'),
            Some(b't') => out.push(b'\t'),
            Some(b'0') => out.push(0),
            Some(b'\\') => out.push(b'\\'),
            Some(b'x') => {
                out.push(u8::from_str_radix(rest.get(2..4)?, 16).ok()?);
                taken = 4;
            }
            Some(b'(') => {
                let (repeated, _) = rest.get(2..)?.split_once(')')?;
                let (count, text) = repeated.split_once('*')?;
                let repeated_text = bytes(&format!("{text}\\"))?;
                out.extend(repeated_text.repeat(count.parse().ok()?));
                taken = 3 + repeated.len();
            }
            Some(_) => return None,
        }
        rest = rest.get(taken..)?;
    }
    out.extend_from_slice(b"\r\n");
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::{Script, Step, bytes};

    #[test]
    fn lines_are_bytes() {
        for (text, wanted) in [
            ("a", &b"a\r\n"[..]),
            ("", b"\r\n"),
            ("a\\", b"a"),
            ("\\r\\n\\t\\0\\\\\\x41\\xff\\", b"\r\n\t\0\\A\xff"),
            ("a\\(3*b\\n)c\\", b"ab\nb\nb\nc"),
            ("é\\", "é".as_bytes()),
        ] {
            assert_eq!(bytes(text).as_deref(), Some(wanted), "{text}");
        }
        for wrong in ["\\q", "\\x4", "\\xzz", "\\(3*a", "\\(a*b)"] {
            assert_eq!(bytes(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_case_is_a_list_of_steps() {
        let script = Script::parse(
            "# c\n% a: b\n= 1-2 x y\n> G\n> \n>> H\n<< I\\\n< J\n< ...\n< K\n<|\n= 3 z\n? why\n> A\\\n<! 400 KEY\n",
        );
        assert_eq!(script.settings, "a: b\n");
        let [first, second] = script.cases.as_slice() else { panic!("{script:?}") };
        assert_eq!((first.sections.as_str(), first.name.as_str(), first.line), ("1-2", "x y", 3));
        let receives = |line: &str, skip| Step::Receives { line: line.as_bytes().to_vec(), skip };
        let wanted = [
            Step::Send(b"G\r\n\r\n".to_vec()),
            Step::Arrives(b"H\r\n".to_vec()),
            Step::Answer(b"I".to_vec()),
            receives("J\r\n", false),
            receives("K\r\n", true),
            Step::ReceivesEnd,
        ];
        assert_eq!(first.steps, wanted);
        assert_eq!((second.remark.as_str(), second.opening(), second.is_refused()), ("why", &b"A"[..], true));
    }

    #[test]
    #[should_panic(expected = "line 2 of the script is none")]
    fn a_slip_of_the_pen_is_no_case() {
        Script::parse("= 1 a\n>GET / HTTP/1.1\n");
    }
}
