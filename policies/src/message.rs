//! What policies on bodies do with a message: its content is the body, and its header `Content-Type` says what it is.

use bytes::Bytes;
use http::StatusCode;
use ringway_contract::{Exchange, Fields, Step};

const CONTENT_TYPE: &str = "Content-Type";

/// Runs what a policy does with a body on the exchange's message. One that does not say its type is taken for `assumed`.
pub fn content<'a>(
    exchange: &mut Exchange,
    assumed: &str,
    run: impl FnOnce(&mut Option<Bytes>, &mut Fields, StatusCode) -> Step<'a>,
) -> Step<'a> {
    let Some(parcel) = exchange.message.as_deref_mut() else { return Step::Next };
    let message = &mut parcel.message;
    let mut fields = Fields::new();
    let said = message.header(CONTENT_TYPE).unwrap_or(assumed.as_bytes());
    // What no head takes is no type of content.
    let _ = fields.set(CONTENT_TYPE, said);
    let mut content = Some(std::mem::take(&mut message.content));
    let step = run(&mut content, &mut fields, StatusCode::BAD_REQUEST);
    message.content = content.unwrap_or_default();
    let says =
        fields.get(CONTENT_TYPE).filter(|says| *says != message.header(CONTENT_TYPE).unwrap_or(assumed.as_bytes()));
    if let Some(says) = says.map(Bytes::copy_from_slice) {
        message.set_header(CONTENT_TYPE, says);
    }
    step
}
