//! What the host's functions read of a module's memory and write to it. Every byte costs fuel: a module cannot make the host work for nothing.

use wasmi::{Caller, Error, Extern, Memory, TrapCode};

use super::host::State;

/// What a function answers with, of the ABI.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    NotFound = 1,
    BadArgument = 2,
    ParseFailure = 4,
    InvalidMemoryAccess = 6,
    InternalFailure = 10,
    Unimplemented = 12,
}

/// Why a function does not do what it is asked for.
pub enum Failure {
    /// The module is told.
    Status(Status),
    /// The module ends here.
    Trap(Error),
}

impl From<Status> for Failure {
    fn from(status: Status) -> Self {
        Self::Status(status)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Trap(error)
    }
}

pub type Outcome<T = ()> = Result<T, Failure>;

/// The number that the module is told.
pub fn told(outcome: Outcome) -> Result<i32, Error> {
    match outcome {
        Ok(()) => Ok(0),
        Err(Failure::Status(status)) => Ok(status as i32),
        Err(Failure::Trap(error)) => Err(error),
    }
}

/// Fuel of a call of the host, whatever it does.
const CALL_FUEL: u64 = 50;
/// Bytes that are copied for one fuel.
const BYTES_PER_FUEL: u64 = 8;

/// Takes fuel for a call that moves so many bytes.
pub fn charge(caller: &mut Caller<'_, State>, bytes: usize) -> Outcome {
    let cost = CALL_FUEL.saturating_add(bytes as u64 / BYTES_PER_FUEL);
    let left = caller.get_fuel()?;
    match left.checked_sub(cost) {
        Some(left) => Ok(caller.set_fuel(left)?),
        None => Err(Failure::Trap(TrapCode::OutOfFuel.into())),
    }
}

/// A module's pointers and lengths are unsigned.
pub fn size(value: i32) -> usize {
    value.cast_unsigned() as usize
}

fn memory(caller: &Caller<'_, State>) -> Outcome<Memory> {
    let memory = caller.get_export("memory").and_then(Extern::into_memory);
    memory.ok_or(Failure::Status(Status::InvalidMemoryAccess))
}

/// A copy of a part of the memory.
pub fn read(caller: &mut Caller<'_, State>, at: i32, length: i32) -> Outcome<Vec<u8>> {
    let (at, length) = (size(at), size(length));
    charge(caller, length)?;
    let memory = memory(caller)?;
    let part = at.checked_add(length).and_then(|end| memory.data(&*caller).get(at..end));
    part.map(<[u8]>::to_vec).ok_or(Failure::Status(Status::InvalidMemoryAccess))
}

/// A text of the memory.
pub fn text(caller: &mut Caller<'_, State>, at: i32, length: i32) -> Outcome<String> {
    String::from_utf8(read(caller, at, length)?).map_err(|_| Failure::Status(Status::BadArgument))
}

/// Writes bytes where the module said.
pub fn write(caller: &mut Caller<'_, State>, at: i32, bytes: &[u8]) -> Outcome {
    charge(caller, bytes.len())?;
    let memory = memory(caller)?;
    memory.write(&mut *caller, size(at), bytes).map_err(|_| Failure::Status(Status::InvalidMemoryAccess))
}

/// Writes a number where the module said.
pub fn write_u32(caller: &mut Caller<'_, State>, at: i32, number: usize) -> Outcome {
    let number = u32::try_from(number).map_err(|_| Failure::Status(Status::BadArgument))?;
    write(caller, at, &number.to_le_bytes())
}

/// Gives bytes to the module: it allocates the room, and is told where they are and how many.
pub fn give(caller: &mut Caller<'_, State>, bytes: &[u8], at: i32, length: i32) -> Outcome {
    let mut place = 0;
    if !bytes.is_empty() {
        place = allocate(caller, bytes.len())?;
        write(caller, place, bytes)?;
    }
    write_u32(caller, at, size(place))?;
    write_u32(caller, length, bytes.len())
}

/// The module's own allocator may call the host, but not for something that it would have to allocate: such calls would nest without end on
/// the stack of the shard.
fn allocate(caller: &mut Caller<'_, State>, bytes: usize) -> Outcome<i32> {
    let bytes = i32::try_from(bytes).map_err(|_| Failure::Status(Status::BadArgument))?;
    if caller.data().allocating {
        return Err(Status::InternalFailure.into());
    }
    let named = |name: &str| caller.get_export(name).and_then(Extern::into_func);
    let function = named("proxy_on_memory_allocate").or_else(|| named("malloc"));
    let function = function.ok_or(Failure::Status(Status::InternalFailure))?;
    let function = function.typed::<i32, i32>(&*caller)?;
    caller.data_mut().allocating = true;
    let place = function.call(&mut *caller, bytes);
    caller.data_mut().allocating = false;
    match place? {
        0 => Err(Status::InternalFailure.into()),
        place => Ok(place),
    }
}

/// Pairs as the ABI lays them out: their number, the lengths of all names and values, then each of them with a zero behind it; numbers of 32
/// bits, the least byte first.
pub fn encode_pairs(pairs: &[(Vec<u8>, Vec<u8>)]) -> Vec<u8> {
    let number = |length: usize| u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes();
    let mut out = number(pairs.len()).to_vec();
    for (name, value) in pairs {
        out.extend_from_slice(&number(name.len()));
        out.extend_from_slice(&number(value.len()));
    }
    for text in pairs.iter().flat_map(|(name, value)| [name, value]) {
        out.extend_from_slice(text);
        out.push(0);
    }
    out
}

/// Reads what [`encode_pairs`] writes.
pub fn decode_pairs(bytes: &[u8]) -> Option<Vec<(String, Vec<u8>)>> {
    fn number(bytes: &mut &[u8]) -> Option<usize> {
        let (first, rest) = bytes.split_first_chunk::<4>()?;
        *bytes = rest;
        Some(u32::from_le_bytes(*first) as usize)
    }
    fn part(bytes: &mut &[u8], length: usize) -> Option<Vec<u8>> {
        let part = bytes.get(..length)?;
        *bytes = bytes.get(length.checked_add(1)?..)?;
        Some(part.to_vec())
    }
    let mut rest = bytes;
    if rest.is_empty() {
        return Some(Vec::new());
    }
    let count = number(&mut rest)?;
    // Eight bytes of lengths for each: a count that lies reserves nothing.
    if count > rest.len() / 8 {
        return None;
    }
    let lengths = (0..count).map(|_| Some((number(&mut rest)?, number(&mut rest)?))).collect::<Option<Vec<_>>>()?;
    let pairs = lengths.into_iter().map(|(name, value)| {
        let name = String::from_utf8(part(&mut rest, name)?).ok()?;
        Some((name, part(&mut rest, value)?))
    });
    pairs.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_come_back_as_they_went_and_lies_do_not() {
        let pairs = vec![(b"a".to_vec(), b"".to_vec()), (b"bc".to_vec(), b"\xff".to_vec())];
        let bytes = encode_pairs(&pairs);
        let back = decode_pairs(&bytes).unwrap();
        assert_eq!(back, [("a".to_owned(), b"".to_vec()), ("bc".to_owned(), b"\xff".to_vec())]);
        assert_eq!(decode_pairs(&[]), Some(Vec::new()));
        for cut in 1..bytes.len() {
            assert_eq!(decode_pairs(&bytes[..cut]), None, "{cut}");
        }
        assert_eq!(decode_pairs(&[255; 64]), None);
    }
}
