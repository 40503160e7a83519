//! Bodies that are held for policies: read whole, bounded, without their content codings.
//!
//! Most exchanges never come here: a body that no policy asks for is passed on as it arrives.

use std::io::Read;

use bytes::{Bytes, BytesMut};
use http::StatusCode;
use ringway_contract::{Cause, Exchange, Fault, Frame, Reply};
use ringway_wire::{Fields, Framing, Version};

use crate::body::{self, BodyReader, Part};
use crate::carriage::Desk;
use crate::coupling::Coupled;
use crate::exchange::{Stage, Stop};
use crate::writer::Writer;

/// Reads the rest of a request: at most `bytes_max`, or the fault is `too_large`.
pub async fn read(stage: &Stage<'_>, desk: &mut Desk, bytes_max: usize, too_large: Cause) -> Result<BytesMut, Stop> {
    let Some(head) = stage.exchange.request.as_deref().map(|request| &request.head) else {
        return Err(Fault::new(Cause::Internal).into());
    };
    if matches!(head.framing, Framing::Length(length) if length > bytes_max as u64) {
        return Err(Fault::new(too_large).into());
    }
    body::check(head.framing, &desk.input, stage.site)?;
    let Desk { input, write, .. } = desk;
    let buffers = &stage.local.shard.buffers;
    if head.expect_continue && head.version == Version::Http11 && input.is_empty() {
        // RFC 9110 section 10.1.1: whoever reads the body asks for it.
        let mut writer = Writer::new(stage.connection, buffers, write, stage.site.write_pace);
        writer.gathered().extend_from_slice(b"HTTP/1.1 100 Continue\r\n\r\n");
        writer.flush().await?;
    }
    let mut reader =
        BodyReader::new(stage.connection, buffers, input, (head.framing, stage.body_bytes_max()), stage.site);
    let mut body = BytesMut::new();
    while let Some(part) = reader.next().await? {
        // Trailers say nothing about a body that is held, and its length is known now.
        let Part::Data(piece) = part else { continue };
        if body.len() + piece.len() > bytes_max {
            return Err(Fault::new(too_large).into());
        }
        body.extend_from_slice(&piece);
        buffers.put(piece);
    }
    Ok(body)
}

/// Holds the body of the request.
pub async fn hold_request(stage: &mut Stage<'_>, desk: &mut Desk) -> Result<(), Stop> {
    let bytes_max = stage.site.content_bytes_max;
    let body = read(stage, desk, bytes_max, Cause::ClientBodyTooLarge).await?;
    let Some(request) = stage.exchange.request.as_deref_mut() else { return Err(Fault::new(Cause::Internal).into()) };
    let head = &mut request.head;
    // The body is here: nothing is asked for any more, and what is said to go on behind it is dropped.
    head.expect_continue = false;
    head.fields.remove("expect");
    head.fields.remove("trailer");
    head.framing = if head.framing.has_content() { Framing::Length(body.len() as u64) } else { Framing::None };
    let content = match decoded(&mut head.fields, body.freeze(), bytes_max) {
        Ok(content) => content,
        Err(Undecodable::TooLarge) => return Err(Fault::new(Cause::ClientBodyTooLarge).into()),
        Err(Undecodable::Unknown) => {
            let reply = Reply::refusal(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "UNSUPPORTED_CONTENT_ENCODING",
                "The content coding of the request is not understood here.",
            );
            // RFC 9110 section 12.5.3: what would have been understood.
            return Err(Box::new(reply.header("Accept-Encoding", CODINGS)).into());
        }
        Err(Undecodable::Broken) => {
            let fault = Fault::new(Cause::ClientBodyInvalid);
            return Err(fault.detail("the content is not what its content coding says").into());
        }
    };
    stage.exchange.contents.request = Some(content);
    if let Some(logging) = &stage.api.logging {
        logging.held(stage.exchange);
    }
    Ok(())
}

/// Makes the backend's answer one that can be held: whole, and in no content coding.
pub fn ask_for_plain(fields: &mut Fields) {
    let _ = fields.set("Accept-Encoding", "identity");
    for name in ["range", "if-range"] {
        fields.remove(name);
    }
}

/// After the policies of the request: the head tells of the body that they left.
pub fn settle_request(exchange: &mut Exchange) {
    let (Some(request), Some(content)) = (exchange.request.as_deref_mut(), &exchange.contents.request) else { return };
    if request.head.framing.has_content() || !content.is_empty() {
        request.head.framing = Framing::Length(content.len() as u64);
    }
}

/// Holds the body of the response, whose head is there.
pub async fn hold_response(stage: &mut Stage<'_>, coupled: &Coupled<'_>) -> Result<(), Fault> {
    let Some(response) = stage.exchange.response.as_deref_mut() else { return Err(Fault::new(Cause::Internal)) };
    let bytes_max = stage.site.content_bytes_max;
    let too_large = || Fault::new(Cause::BackendBodyTooLarge);
    if matches!(response.framing, Framing::Length(length) if length > bytes_max as u64) {
        return Err(too_large());
    }
    let mut body = BytesMut::new();
    let tapped = &mut stage.exchange.tapped;
    loop {
        match coupled.recv().await {
            Some(Frame::Data(piece)) => {
                let weight = piece.len();
                tapped.data(piece.as_slice());
                if body.len() + weight > bytes_max {
                    return Err(too_large());
                }
                body.extend_from_slice(piece.as_slice());
                if let ringway_contract::Chunk::Pooled(buffer) = piece {
                    stage.local.shard.buffers.put(buffer);
                }
                coupled.grant(weight);
            }
            Some(Frame::Trailers(_)) => {}
            Some(Frame::End) => {
                tapped.end();
                break;
            }
            Some(Frame::Abort(fault)) => return Err(fault),
            Some(_) => return Err(Fault::new(Cause::Internal).detail("a frame after the reply")),
            None => return Err(Fault::new(Cause::BackendClosed).detail("the lane ended in the body")),
        }
    }
    response.fields.remove("trailer");
    let content = match decoded(&mut response.fields, body.freeze(), bytes_max) {
        Ok(content) => content,
        Err(Undecodable::TooLarge) => return Err(too_large()),
        Err(Undecodable::Unknown | Undecodable::Broken) => {
            return Err(
                Fault::new(Cause::BackendInvalid).detail("the content coding of the response is not understood")
            );
        }
    };
    stage.exchange.contents.response = Some(content);
    Ok(())
}

/// Takes the content codings off a body that the exchange has already.
pub fn plain_response(exchange: &mut Exchange, bytes_max: usize) -> Result<(), Fault> {
    let (Some(response), Some(body)) = (exchange.response.as_deref_mut(), exchange.contents.response.take()) else {
        return Ok(());
    };
    let content = decoded(&mut response.fields, body, bytes_max);
    let content =
        content.map_err(|_| Fault::new(Cause::BackendInvalid).detail("a content coding is not understood"))?;
    exchange.contents.response = Some(content);
    Ok(())
}

/// Whether a response with this head may have a body at all (RFC 9110 sections 9.3.2 and 15).
pub fn may_have_content(is_head: bool, status: StatusCode) -> bool {
    !is_head && !status.is_informational() && !matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
}

/// After the policies of the response: the head tells of the body that they left. `held` is what the backend had sent.
pub fn settle_response(exchange: &mut Exchange, held: &Bytes) {
    let (Some(response), Some(content)) = (exchange.response.as_deref_mut(), &exchange.contents.response) else {
        return;
    };
    response.framing = Framing::Length(content.len() as u64);
    if content != held {
        // They describe the bytes that the backend sent (RFC 9110 section 7.7, RFC 9530).
        for name in ["etag", "content-md5", "digest", "content-digest", "repr-digest", "accept-ranges"] {
            response.fields.remove(name);
        }
    }
}

/// Content codings that are taken off.
const CODINGS: &str = "gzip, deflate, identity";

#[derive(Debug, PartialEq, Eq)]
enum Undecodable {
    /// Not one of [`CODINGS`].
    Unknown,
    /// Not what it says, or cut short.
    Broken,
    TooLarge,
}

/// `body` without its content codings (RFC 9110 section 8.4); the field goes with them. However much is packed into few bytes, no more than
/// `bytes_max` come out.
fn decoded(fields: &mut Fields, body: Bytes, bytes_max: usize) -> Result<Bytes, Undecodable> {
    let mut codings = Vec::new();
    for value in fields.get_all("content-encoding") {
        codings.extend(value.split(|byte| *byte == b',').map(|coding| coding.trim_ascii().to_ascii_lowercase()));
    }
    codings.retain(|coding| !coding.is_empty() && coding != b"identity");
    if codings.is_empty() {
        return Ok(body);
    }
    // Two are legal, and used by nobody but who wants to hide something.
    let [coding] = &*codings else { return Err(Undecodable::Unknown) };
    let content = if body.is_empty() {
        body
    } else {
        let source = &*body;
        Bytes::from(match &**coding {
            b"gzip" | b"x-gzip" => inflate(flate2::read::MultiGzDecoder::new(source), bytes_max)?,
            // RFC 9110 section 8.4.1.2 says zlib; some send what is in it alone.
            b"deflate" if source.first().is_some_and(|first| first & 0x0f == 8) => {
                inflate(flate2::read::ZlibDecoder::new(source), bytes_max)?
            }
            b"deflate" => inflate(flate2::read::DeflateDecoder::new(source), bytes_max)?,
            _ => return Err(Undecodable::Unknown),
        })
    };
    fields.remove("content-encoding");
    Ok(content)
}

fn inflate(decoder: impl Read, bytes_max: usize) -> Result<Vec<u8>, Undecodable> {
    let mut content = Vec::new();
    let count = decoder.take(bytes_max as u64 + 1).read_to_end(&mut content).map_err(|_| Undecodable::Broken)?;
    if count > bytes_max { Err(Undecodable::TooLarge) } else { Ok(content) }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};

    use super::*;

    fn unpack(coding: &str, body: Vec<u8>, bytes_max: usize) -> Result<Bytes, Undecodable> {
        let mut fields = Fields::new();
        fields.append("Content-Encoding", coding).unwrap();
        let content = decoded(&mut fields, body.into(), bytes_max);
        assert_eq!(content.is_ok() && !coding.eq_ignore_ascii_case("identity"), !fields.contains("content-encoding"));
        content
    }

    #[test]
    fn codings_are_taken_off_and_bombs_are_not_unpacked() {
        let plain = vec![b'x'; 100_000];
        let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
        gzip.write_all(&plain).unwrap();
        let gzip = gzip.finish().unwrap();
        let mut zlib = ZlibEncoder::new(Vec::new(), Compression::best());
        zlib.write_all(&plain).unwrap();
        let mut raw = DeflateEncoder::new(Vec::new(), Compression::best());
        raw.write_all(&plain).unwrap();
        for (coding, body) in [
            ("gzip", gzip.clone()),
            ("X-GZip", gzip.clone()),
            ("deflate", zlib.finish().unwrap()),
            ("deflate", raw.finish().unwrap()),
        ] {
            assert_eq!(unpack(coding, body.clone(), 100_000).as_deref(), Ok(&*plain), "{coding}");
            assert_eq!(unpack(coding, body, 99_999), Err(Undecodable::TooLarge), "{coding}");
        }
        assert_eq!(unpack("identity", b"as it is".to_vec(), 8).as_deref(), Ok(&b"as it is"[..]));
        assert_eq!(unpack("br", b"?".to_vec(), 8), Err(Undecodable::Unknown));
        assert_eq!(unpack("gzip, gzip", gzip.clone(), 8), Err(Undecodable::Unknown));
        assert_eq!(unpack("gzip", b"not gzip".to_vec(), 1024), Err(Undecodable::Broken));
        assert_eq!(unpack("gzip", gzip[..gzip.len() / 2].to_vec(), 1 << 20), Err(Undecodable::Broken));
    }
}
