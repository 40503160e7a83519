//! What is written down of an exchange besides its line in the access log, where its API asks for it. Of other exchanges nothing is kept.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::rc::Rc;

/// Bytes of a body that are written down; the rest is counted.
pub const RECORDED_BYTES_MAX: usize = 16 * 1024;

/// Hides parts of what is written down, and nothing of what is sent.
pub trait Mask {
    /// Changes the value of a field; its name is in lower case.
    fn field(&self, name: &str, value: &mut String);

    /// Changes a body. One that is not `whole` is the beginning of a longer one.
    fn body(&self, body: &mut String, whole: bool);
}

/// The beginning of a body, and how long it is.
#[derive(Debug, Default)]
pub struct Noted {
    bytes: RefCell<Vec<u8>>,
    total: Cell<u64>,
}

impl Noted {
    /// That of a body that is here.
    pub fn of(body: &[u8]) -> Rc<Self> {
        let noted = Self::default();
        noted.data(body);
        Rc::new(noted)
    }

    /// A piece of it.
    pub fn data(&self, piece: &[u8]) {
        self.total.set(self.total.get() + piece.len() as u64);
        let mut bytes = self.bytes.borrow_mut();
        let room = RECORDED_BYTES_MAX - bytes.len().min(RECORDED_BYTES_MAX);
        bytes.extend_from_slice(piece.get(..room).unwrap_or(piece));
    }

    /// Its length so far.
    pub fn total(&self) -> u64 {
        self.total.get()
    }

    /// Whether all of it is here.
    pub fn is_whole(&self) -> bool {
        self.total.get() == self.bytes.borrow().len() as u64
    }

    /// What is here of it, without a character that is cut apart at the end; `None` if it is no text.
    pub fn text(&self) -> Option<String> {
        let bytes = self.bytes.borrow();
        match std::str::from_utf8(&bytes) {
            Ok(text) => Some(text.to_owned()),
            Err(error) if error.error_len().is_none() && !self.is_whole() => {
                bytes.get(..error.valid_up_to()).map(|valid| String::from_utf8_lossy(valid).into_owned())
            }
            Err(_) => None,
        }
    }
}

/// A request or a response as it was at one side.
#[derive(Debug, Default)]
pub struct Seen {
    /// Method and target, or the status.
    pub line: String,
    /// Its fields, names in lower case.
    pub fields: Vec<(String, String)>,
    /// Its body, if it is wanted.
    pub body: Option<Rc<Noted>>,
}

/// What was seen of an exchange so far, and what hides parts of it.
#[derive(Default)]
pub struct Recording {
    /// The request as the client sent it.
    pub entrypoint_request: Option<Seen>,
    /// The request as the endpoint gets it.
    pub endpoint_request: Option<Seen>,
    /// The response as the endpoint sent it.
    pub endpoint_response: Option<Seen>,
    /// The response as the client gets it.
    pub entrypoint_response: Option<Seen>,
    /// Key of an answer of the gateway's own.
    pub key: String,
    /// Whether all that hides something is known. Otherwise no fields and no bodies are written down.
    pub is_masked: bool,
    /// What hides parts of the request. As many as there are steps that do.
    pub request_masks: Vec<Rc<dyn Mask>>,
    /// What hides parts of the response.
    pub response_masks: Vec<Rc<dyn Mask>>,
}

impl fmt::Debug for Recording {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a recording")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_noted_to_its_bound_and_counted_beyond() {
        let noted = Noted::default();
        noted.data("ü".as_bytes());
        assert_eq!((noted.text().as_deref(), noted.is_whole()), (Some("ü"), true));
        noted.data(&[b'x'; RECORDED_BYTES_MAX - 3]);
        noted.data("ü".as_bytes());
        assert_eq!((noted.total(), noted.is_whole()), (RECORDED_BYTES_MAX as u64 + 1, false));
        let text = noted.text().unwrap();
        assert!(text.len() == RECORDED_BYTES_MAX - 1 && text.ends_with('x'), "half a character is none");
        assert_eq!(Noted::of(&[0xff, 0xfe]).text(), None);
        assert_eq!(Noted::of(&[0xc3]).text(), None, "a body that ends within a character is no text");
    }
}
