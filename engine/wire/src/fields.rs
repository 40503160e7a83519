//! The field lines of a head or a trailer section: spans into the bytes they came in, and an arena for added lines.

use bytes::{Buf, BytesMut};

use crate::Rejection;
use crate::known::{self, IDS, Known, OTHER, Set};
use crate::syntax::{self, TOKEN, VALUE};

/// The largest block of lines that the 16-bit spans reach.
pub(crate) const BLOCK_BYTES_MAX: usize = u16::MAX as usize;
/// How many lines the parser takes at most, whatever the limits say: the size of its table on the stack.
pub(crate) const FIELDS_MAX: usize = 256;
/// How many lines, live and removed, one container keeps; added lines included.
const LINES_MAX: usize = 1024;

/// The field lines of a message, in order.
///
/// ```text
///  raw    GET / HTTP/1.1␍␊│Host: a␍␊│Accept: */*␍␊│Cookie: b␍␊│␍␊
///                          ╰ start   ╰ value  ╰ end      ╰ removed: skipped by iter and encode
///  extra  │x-request-id: 7␍␊│          lines that were set or appended
/// ```
///
/// Removing marks a line, adding writes to `extra`, encoding copies maximal runs of lines that nobody touched. Nothing is
/// allocated once the containers are warm.
#[derive(Clone, Debug)]
pub struct Fields {
    raw: BytesMut,
    extra: BytesMut,
    list: Vec<Field>,
    /// The known names of live lines.
    present: Set,
    /// The known names that more than one live line has.
    repeated: Set,
    /// The first live line of each known name; holds only where `present` has the bit.
    first: [u16; IDS],
    live: u16,
    /// Whether a name of `raw` stands for another one behind a gateway interface.
    shadowed: bool,
    /// Whether a line of `raw` was removed: without, an encoder may copy `raw` in one run.
    holes: bool,
}

/// One line. Offsets count from the start of `raw`, or of `extra` when `ADDED` is set.
#[derive(Clone, Copy, Debug)]
struct Field {
    start: u16,
    name_bytes: u16,
    value: u16,
    value_bytes: u16,
    /// Past the line's CRLF.
    end: u16,
    known: u8,
    flags: u8,
}

const LINE_END: &[u8] = b"\r\n";

const ADDED: u8 = 1;
const REMOVED: u8 = 2;

/// Why a line can't be added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldError {
    /// The name is not a token (RFC 9110 section 5.1).
    BadName,
    /// The value has a control byte: a line end in it would forge another line (RFC 9110 section 5.5).
    BadValue,
    /// 65,535 bytes of added lines, or 1,024 lines in all, are exceeded.
    TooLarge,
}

impl std::fmt::Display for FieldError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            FieldError::BadName => "the field name is not a token (RFC 9110 section 5.1)",
            FieldError::BadValue => "the field value has a control byte (RFC 9110 section 5.5)",
            FieldError::TooLarge => "the added field lines exceed 65,535 bytes or 1,024 lines",
        })
    }
}

impl std::error::Error for FieldError {}

impl Default for Fields {
    fn default() -> Self {
        Fields::new()
    }
}

impl Fields {
    /// No lines, and no buffer yet.
    #[must_use]
    pub fn new() -> Self {
        Fields {
            raw: BytesMut::new(),
            extra: BytesMut::new(),
            list: Vec::new(),
            present: 0,
            repeated: 0,
            first: [0; IDS],
            live: 0,
            shadowed: false,
            holes: false,
        }
    }

    /// How many lines there are.
    #[must_use]
    pub fn len(&self) -> usize {
        usize::from(self.live)
    }

    /// Whether there is no line.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.live == 0
    }

    /// Forgets all lines and keeps the buffers.
    pub fn clear(&mut self) {
        self.raw.clear();
        self.extra.clear();
        self.reset_lines();
    }

    /// The value of the first line of this name, in any case.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        self.all_of(name.as_bytes()).next()
    }

    /// The values of all lines of this name, in order.
    pub fn get_all<'a, 'n>(&'a self, name: &'n str) -> impl Iterator<Item = &'a [u8]> + use<'a, 'n> {
        self.all_of(name.as_bytes())
    }

    /// The value of the first line of a known name: one bit test and one table load.
    #[must_use]
    #[inline]
    pub fn known(&self, name: Known) -> Option<&[u8]> {
        if self.present & name.bit() == 0 {
            return None;
        }
        let first = usize::from(*self.first.get(name as usize)?);
        self.list.get(first).map(|field| self.value(field))
    }

    /// The values of all lines of a known name, in order.
    pub fn known_all(&self, name: Known) -> impl Iterator<Item = &[u8]> {
        let from =
            if self.present & name.bit() == 0 { self.list.len() } else { usize::from(self.first[name as usize]) };
        let lines = self.list.get(from..).unwrap_or_default();
        lines.iter().filter(move |field| field.known == name as u8 && field.is_live()).map(|field| self.value(field))
    }

    /// Whether there is a line of this name.
    #[must_use]
    pub fn contains(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// Whether more than one line has this known name.
    #[must_use]
    pub fn is_repeated(&self, name: Known) -> bool {
        self.repeated & name.bit() != 0
    }

    /// Name and value of every line, in order; names as they were written.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.list.iter().filter(|field| field.is_live()).map(|field| (self.name(field), self.value(field)))
    }

    /// Removes all lines of this name and says how many there were.
    pub fn remove(&mut self, name: &str) -> usize {
        self.remove_bytes(name.as_bytes())
    }

    /// Removes all lines of a known name and says how many there were.
    pub fn remove_known(&mut self, name: Known) -> usize {
        if self.present & name.bit() == 0 { 0 } else { self.remove_set(name.bit()) }
    }

    /// Replaces all lines of this name by one.
    ///
    /// # Errors
    /// When name or value could not stand in a line, or the arena is full; then nothing has changed.
    pub fn set(&mut self, name: &str, value: impl AsRef<[u8]>) -> Result<(), FieldError> {
        let value = checked(name.as_bytes(), value.as_ref())?;
        self.room(name.len(), value.len())?;
        self.remove_bytes(name.as_bytes());
        self.add(name.as_bytes(), value);
        Ok(())
    }

    /// Replaces all lines of a known name by one whose value `write` appends to what it is given: nothing is looked up, and the value is
    /// written where it stays. `label` is the name as it is spelled, with `: ` behind it.
    ///
    /// # Errors
    /// When the value could not stand in a line, or the arena is full; then nothing has changed.
    pub fn put(&mut self, known: Known, label: &str, write: impl FnOnce(&mut BytesMut)) -> Result<(), FieldError> {
        debug_assert_eq!(
            label.strip_suffix(": ").and_then(|name| Known::of(name.as_bytes())),
            Some(known),
            "{label:?}"
        );
        let start = self.extra.len();
        self.extra.extend_from_slice(label.as_bytes());
        let value = self.extra.len();
        write(&mut self.extra);
        let value_end = self.extra.len();
        let fits = value_end + LINE_END.len() <= BLOCK_BYTES_MAX && self.list.len() < LINES_MAX;
        let is_value = self.extra.get(value..).is_some_and(|value| syntax::all(value, VALUE));
        if !fits || !is_value {
            self.extra.truncate(start);
            return Err(if fits { FieldError::BadValue } else { FieldError::TooLarge });
        }
        self.extra.extend_from_slice(LINE_END);
        self.remove_known(known);
        self.push(Field {
            start: start as u16,
            name_bytes: (label.len() - 2) as u16,
            value: value as u16,
            value_bytes: (value_end - value) as u16,
            end: (value_end + LINE_END.len()) as u16,
            known: known as u8,
            flags: ADDED,
        });
        Ok(())
    }

    /// Adds a line after all others.
    ///
    /// # Errors
    /// When name or value could not stand in a line, or the arena is full; then nothing has changed.
    pub fn append(&mut self, name: &str, value: impl AsRef<[u8]>) -> Result<(), FieldError> {
        let value = checked(name.as_bytes(), value.as_ref())?;
        self.room(name.len(), value.len())?;
        self.add(name.as_bytes(), value);
        Ok(())
    }

    /// Writes all lines but those of framing (`Content-Length`) and of the connection (`Connection`, `Keep-Alive`,
    /// `Proxy-Connection`, `TE`, `Trailer`, `Transfer-Encoding`, `Upgrade`, `HTTP2-Settings`), which are each hop's own. No
    /// empty line follows.
    pub fn encode(&self, out: &mut BytesMut) {
        self.encode_without(known::MANAGED, out);
    }

    /// Writes all lines whose known name is not in `skip`: runs of untouched raw bytes, then added lines.
    pub(crate) fn encode_without(&self, skip: Set, out: &mut BytesMut) {
        let added_from = self.list.partition_point(|field| field.flags & ADDED == 0);
        let (raw, added) = self.list.split_at(added_from);
        if let [first, .., last] | [first @ last] = raw {
            if !self.holes && self.present & skip == 0 {
                out.extend_from_slice(span(&self.raw, first.start, last.end));
            } else {
                encode_runs(&self.raw, raw, skip, out);
            }
        }
        if !added.is_empty() {
            encode_runs(&self.extra, added, skip, out);
        }
    }

    fn all_of<'a, 'n>(&'a self, name: &'n [u8]) -> impl Iterator<Item = &'a [u8]> + use<'a, 'n> {
        let id = known::classify(name);
        let from = match self.first.get(usize::from(id)) {
            Some(first) if id != OTHER && self.present >> id & 1 == 1 => usize::from(*first),
            _ if id == OTHER => 0,
            _ => self.list.len(),
        };
        let lines = self.list.get(from..).unwrap_or_default();
        lines
            .iter()
            .filter(move |field| {
                field.known == id
                    && field.is_live()
                    && (id != OTHER
                        || usize::from(field.name_bytes) == name.len() && self.name(field).eq_ignore_ascii_case(name))
            })
            .map(|field| self.value(field))
    }

    #[inline]
    fn name(&self, field: &Field) -> &[u8] {
        span(self.block(field), field.start, field.start + field.name_bytes)
    }

    #[inline]
    fn value(&self, field: &Field) -> &[u8] {
        span(self.block(field), field.value, field.value + field.value_bytes)
    }

    #[inline]
    fn block(&self, field: &Field) -> &[u8] {
        if field.flags & ADDED == 0 { &self.raw } else { &self.extra }
    }

    fn room(&self, name_bytes: usize, value_bytes: usize) -> Result<(), FieldError> {
        let bytes = self.extra.len().saturating_add(name_bytes).saturating_add(value_bytes).saturating_add(4);
        if bytes > BLOCK_BYTES_MAX || self.list.len() >= LINES_MAX { Err(FieldError::TooLarge) } else { Ok(()) }
    }

    /// Adds a line that `checked` and `room` have let pass.
    fn add(&mut self, name: &[u8], value: &[u8]) {
        let start = self.extra.len();
        self.extra.reserve(name.len() + value.len() + 4);
        self.extra.extend_from_slice(name);
        self.extra.extend_from_slice(b": ");
        self.extra.extend_from_slice(value);
        self.extra.extend_from_slice(LINE_END);
        self.push(Field {
            start: start as u16,
            name_bytes: name.len() as u16,
            value: (start + name.len() + 2) as u16,
            value_bytes: value.len() as u16,
            end: self.extra.len() as u16,
            known: known::classify(name),
            flags: ADDED,
        });
    }

    #[inline]
    fn push(&mut self, field: Field) {
        let bit = 1 << field.known;
        if self.present & bit == 0 {
            self.present |= bit;
            self.first[usize::from(field.known) % IDS] = self.list.len() as u16;
        } else {
            self.repeated |= bit;
        }
        self.list.push(field);
        self.live += 1;
    }

    pub(crate) fn remove_bytes(&mut self, name: &[u8]) -> usize {
        let id = known::classify(name);
        if id != OTHER {
            return self.remove_set(1 << id);
        }
        let (raw, extra) = (&self.raw, &self.extra);
        let (mut removed, mut others) = (0, 0u32);
        for field in self.list.iter_mut().filter(|field| field.known == OTHER && field.is_live()) {
            let block = if field.flags & ADDED == 0 { raw } else { extra };
            if usize::from(field.name_bytes) == name.len()
                && span(block, field.start, field.start + field.name_bytes).eq_ignore_ascii_case(name)
            {
                field.flags |= REMOVED;
                self.holes = true;
                removed += 1;
            } else {
                others += 1;
            }
        }
        self.live -= removed;
        if others == 0 {
            self.present &= !(1 << OTHER);
        }
        usize::from(removed)
    }

    /// Removes the lines of all known names of `names`.
    pub(crate) fn remove_set(&mut self, names: Set) -> usize {
        if self.present & names == 0 {
            return 0;
        }
        let mut removed = 0;
        for field in self.list.iter_mut().filter(|field| names >> field.known & 1 == 1 && field.is_live()) {
            field.flags |= REMOVED;
            removed += 1;
        }
        self.holes = true;
        self.live -= removed;
        self.present &= !names;
        self.repeated &= !names;
        usize::from(removed)
    }

    /// Whether a line that was read has the name of another one but for an underscore ([`known::is_shadow`]).
    pub(crate) fn is_shadowed(&self) -> bool {
        self.shadowed
    }

    pub(crate) fn present(&self) -> Set {
        self.present
    }

    /// Bytes of the block that the lines came in, the start line included.
    #[inline]
    pub(crate) fn raw(&self) -> &[u8] {
        &self.raw
    }

    pub(crate) fn raw_mut(&mut self) -> &mut BytesMut {
        &mut self.raw
    }

    fn reset_lines(&mut self) {
        self.list.clear();
        self.present = 0;
        self.repeated = 0;
        self.live = 0;
        self.shadowed = false;
        self.holes = false;
    }

    /// Takes the lines that httparse found in `block`: they must fill it from the first name to `end`, each closed by CRLF.
    ///
    /// httparse lets a line end in a bare LF; two servers then disagree where the head ends, so every line's CR is looked for.
    #[inline]
    pub(crate) fn read(&mut self, block: &[u8], lines: &[httparse::Header<'_>], end: usize) -> Result<(), Rejection> {
        self.extra.clear();
        self.reset_lines();
        let (mut present, mut repeated, mut bare, mut shadowed) = (0, 0, false, false);
        let mut start = lines.first().map_or(end, |first| offset(block, first.name.as_bytes()));
        self.list.extend(lines.iter().enumerate().map(|(at, line)| {
            let name = line.name.as_bytes();
            let line_end = lines.get(at + 1).map_or(end, |next| offset(block, next.name.as_bytes()));
            bare |= block.get(line_end.wrapping_sub(2)) != Some(&b'\r');
            let known = known::classify(name);
            shadowed |= known == OTHER && known::is_shadow(name);
            let bit: Set = 1 << known;
            if present & bit == 0 {
                self.first[usize::from(known) % IDS] = at as u16;
            }
            repeated |= present & bit;
            present |= bit;
            let field = Field {
                start: start as u16,
                name_bytes: name.len() as u16,
                value: offset(block, line.value) as u16,
                value_bytes: line.value.len() as u16,
                end: line_end as u16,
                known,
                flags: 0,
            };
            start = line_end;
            field
        }));
        self.present = present;
        self.repeated = repeated;
        self.shadowed = shadowed;
        self.live = lines.len() as u16;
        if bare { Err(Rejection::BareLineFeed) } else { Ok(()) }
    }

    /// Moves the first `head_bytes` of `input` to `raw`, without an allocation while both buffers are warm.
    ///
    /// ```text
    ///  input │head│             swap the two buffers
    ///  input │head      │rest│  copy rest to raw, swap, cut
    ///  input │head│rest      │  copy head to raw, advance
    /// ```
    /// `split_to` would do it in a line, and allocate the shared count that its two halves need.
    pub(crate) fn take(&mut self, input: &mut BytesMut, head_bytes: usize) {
        self.raw.clear();
        let rest_bytes = input.len().saturating_sub(head_bytes);
        if rest_bytes <= head_bytes {
            if rest_bytes > 0 {
                self.raw.extend_from_slice(input.get(head_bytes..).unwrap_or_default());
                input.truncate(head_bytes);
            }
            std::mem::swap(&mut self.raw, input);
        } else {
            self.raw.extend_from_slice(input.get(..head_bytes).unwrap_or_default());
            input.advance(head_bytes);
        }
    }
}

impl Field {
    #[inline]
    fn is_live(&self) -> bool {
        self.flags & REMOVED == 0
    }
}

/// Where `part`, which lies within `block`, begins.
#[inline]
pub(crate) fn offset(block: &[u8], part: &[u8]) -> usize {
    (part.as_ptr() as usize).wrapping_sub(block.as_ptr() as usize)
}

#[inline]
fn span(block: &[u8], start: u16, end: u16) -> &[u8] {
    block.get(usize::from(start)..usize::from(end)).unwrap_or_default()
}

fn encode_runs(block: &[u8], lines: &[Field], skip: Set, out: &mut BytesMut) {
    let mut run: Option<(u16, u16)> = None;
    for field in lines {
        if field.is_live() && skip >> field.known & 1 == 0 {
            run = Some((run.map_or(field.start, |(start, _)| start), field.end));
        } else if let Some((start, end)) = run.take() {
            out.extend_from_slice(span(block, start, end));
        }
    }
    if let Some((start, end)) = run {
        out.extend_from_slice(span(block, start, end));
    }
}

/// The value as it will stand in the line, when both can stand in one.
fn checked<'a>(name: &[u8], value: &'a [u8]) -> Result<&'a [u8], FieldError> {
    if name.is_empty() || !syntax::all(name, TOKEN) {
        return Err(FieldError::BadName);
    }
    let value = syntax::trim(value);
    if syntax::all(value, VALUE) { Ok(value) } else { Err(FieldError::BadValue) }
}
