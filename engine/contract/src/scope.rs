//! What expressions see of an exchange.

use std::borrow::Cow;

use ringway_expression::{Body, Context, Field, Map, Value};

use crate::attributes::{Attributes, PREFIX};
use crate::subscriber::now_ms;
use crate::{Exchange, FetchResponse, Fields};

impl Context for Exchange {
    fn field(&self, field: Field) -> Value<'_> {
        let head = self.request.as_deref().map(|request| &request.head);
        let client = self.client.address.as_ref();
        match field {
            Field::RequestUri => head.map_or(Value::Null, |head| match head.query() {
                Some(query) => Value::Text(format!("{}?{query}", head.path()).into()),
                None => Value::text(head.path()),
            }),
            Field::RequestPath => Value::maybe_text(head.map(ringway_wire::RequestHead::path)),
            Field::RequestPathInfo => Value::maybe_text(self.request.as_deref().map(crate::Request::rest)),
            Field::RequestContextPath => Value::maybe_text(self.context_path()),
            Field::RequestMethod => Value::maybe_text(head.map(|head| head.method.as_str())),
            Field::RequestScheme => Value::text(if self.client.tls { "https" } else { "http" }),
            Field::RequestHost => Value::maybe_text(head.map(ringway_wire::RequestHead::host)),
            Field::RequestVersion => head.map_or(Value::Null, |head| {
                Value::text(if head.version == ringway_wire::Version::Http10 { "HTTP_1_0" } else { "HTTP_1_1" })
            }),
            Field::RequestTimestamp => i64::try_from(now_ms()).map_or(Value::Null, Value::Int),
            Field::RequestRemoteAddress => client.map_or(Value::Null, |at| Value::Text(at.ip().to_string().into())),
            Field::ResponseStatus => match self.response.as_deref() {
                Some(response) => Value::Int(i64::from(response.status.as_u16())),
                None => Value::Null,
            },
            Field::ApiId => Value::text(&self.api.id),
            Field::ApiName => Value::text(&self.api.name),
            Field::ApiVersion => Value::text(&self.api.version),
            Field::NodeVersion => Value::text(env!("CARGO_PKG_VERSION")),
            Field::MessageId => {
                self.message.as_deref().map_or(Value::Null, |message| Value::Text(String::from_utf8_lossy(&message.id)))
            }
            Field::MessageContentLength => self.message.as_deref().map_or(Value::Null, |parcel| {
                i64::try_from(parcel.message.content.len()).map_or(Value::Null, Value::Int)
            }),
            Field::MessageError => {
                self.message.as_deref().map_or(Value::Null, |parcel| Value::Bool(parcel.message.is_error))
            }
            Field::SubscriptionId => Value::maybe_text(self.subscriber.as_deref().map(|known| known.id.as_str())),
            _ => Value::Null,
        }
    }

    fn entry(&self, map: Map, name: &str, index: usize) -> Value<'_> {
        if index > 0 && !map.is_multi() {
            return Value::Null;
        }
        let request = self.request.as_deref();
        match map {
            Map::RequestHeaders => request.map_or(Value::Null, |request| header(&request.head.fields, name, index)),
            Map::ResponseHeaders => {
                self.response.as_deref().map_or(Value::Null, |response| header(&response.fields, name, index))
            }
            Map::RequestParams => {
                let values = parameters(request.and_then(|request| request.head.query()).unwrap_or_default());
                let mut own = values.filter(|(known, _)| known == name).map(|(_, value)| value);
                own.nth(index).map_or(Value::Null, Value::Text)
            }
            Map::RequestPathParams | Map::RequestPathParamsRaw => {
                match self.path_params.iter().find(|(known, _)| &**known == name) {
                    None => Value::Null,
                    Some((_, value)) if map == Map::RequestPathParamsRaw => Value::text(value),
                    Some((_, value)) => Value::Text(decoded(value, false)),
                }
            }
            Map::Attributes => self.attribute(name),
            Map::MessageHeaders => {
                let headers =
                    self.message.as_deref().map(|parcel| parcel.message.headers.as_slice()).unwrap_or_default();
                let mut own = headers.iter().filter(|(known, _)| known.eq_ignore_ascii_case(name.as_bytes()));
                own.nth(index).map_or(Value::Null, |(_, value)| Value::Text(String::from_utf8_lossy(value)))
            }
            Map::MessageMetadata => {
                let mut known = self.message.iter().flat_map(|parcel| parcel.metadata());
                known
                    .find(|(known, _)| *known == name)
                    .map_or(Value::Null, |(_, value)| Value::Text(String::from_utf8_lossy(value)))
            }
            Map::MessageAttributes => {
                let attributes = self.message.as_deref().and_then(|parcel| parcel.message.attributes.as_deref());
                attributes.and_then(|attributes| attributes.value(name)).unwrap_or(Value::Null)
            }
            Map::Properties => Value::maybe_text(self.api.properties.get(name).map(String::as_str)),
            // What `dynamic-routing` and the attribute `request.endpoint` take.
            Map::Endpoints => Value::Text(format!("{name}:").into()),
            Map::SubscriptionMetadata => {
                let metadata = self.subscriber.as_deref().map(|subscriber| &subscriber.metadata);
                Value::maybe_text(metadata.and_then(|metadata| metadata.get(name)).map(String::as_str))
            }
            _ => Value::Null,
        }
    }

    fn entry_is(&self, map: Map, name: &str, index: Option<usize>, text: &str) -> bool {
        let fields = match map {
            Map::RequestHeaders => self.request.as_deref().map(|request| &request.head.fields),
            Map::ResponseHeaders => self.response.as_deref().map(|response| &response.fields),
            _ => {
                let value = |index| self.entry(map, name, index);
                let is = matches!(value(index.unwrap_or(0)), Value::Text(own) if own == text);
                return is && (index.is_some() || value(1).is_null());
            }
        };
        let Some(fields) = fields else { return false };
        let mut values = fields.get_all(name);
        // Bytes that are no UTF-8 are equal to no text.
        values.nth(index.unwrap_or(0)).is_some_and(|own| own == text.as_bytes())
            && (index.is_some() || values.next().is_none())
    }

    fn names(&self, map: Map, each: &mut dyn FnMut(&str)) {
        let request = self.request.as_deref();
        match map {
            Map::RequestHeaders => once_each(request.into_iter().flat_map(|known| names_of(&known.head.fields)), each),
            Map::ResponseHeaders => {
                once_each(self.response.as_deref().into_iter().flat_map(|known| names_of(&known.fields)), each);
            }
            Map::RequestParams => {
                let query = request.and_then(|request| request.head.query()).unwrap_or_default();
                once_each(parameters(query).map(|(name, _)| name), each);
            }
            Map::RequestPathParams | Map::RequestPathParamsRaw => {
                self.path_params.iter().for_each(|(name, _)| each(name));
            }
            Map::Attributes => self.attributes.names().for_each(each),
            Map::MessageHeaders => {
                let headers = self.message.iter().flat_map(|parcel| &parcel.message.headers);
                once_each(headers.map(|(name, _)| String::from_utf8_lossy(name)), each);
            }
            Map::MessageMetadata => {
                once_each(self.message.iter().flat_map(|parcel| parcel.metadata()).map(|(name, _)| name.into()), each);
            }
            Map::MessageAttributes => {
                let attributes = self.message.as_deref().and_then(|parcel| parcel.message.attributes.as_deref());
                attributes.into_iter().flat_map(Attributes::names).for_each(each);
            }
            Map::Properties => self.api.properties.keys().for_each(|name| each(name)),
            Map::SubscriptionMetadata => {
                let metadata = self.subscriber.iter().flat_map(|subscriber| subscriber.metadata.keys());
                metadata.for_each(|name| each(name));
            }
            _ => {}
        }
    }

    fn body(&self, body: Body) -> Option<&[u8]> {
        match body {
            Body::Request => self.contents.request.as_deref(),
            Body::Response => self.contents.response.as_deref(),
            Body::Message => self.message.as_deref().map(|parcel| &*parcel.message.content),
            Body::Callout => None,
        }
    }

    fn dictionary(&self, id: &str, key: &str) -> Value<'_> {
        self.api.dictionaries.text(id, key).map_or(Value::Null, |text| Value::Text(text.into()))
    }

    fn now_ms(&self) -> Option<u64> {
        Some(now_ms())
    }

    fn random(&self) -> Option<u128> {
        let mut bytes = [0; 16];
        let random = ring::rand::SystemRandom::new();
        ring::rand::SecureRandom::fill(&random, &mut bytes).ok().map(|()| u128::from_be_bytes(bytes))
    }
}

/// An answer that was asked for beside the traffic stands as `#response`.
impl Context for FetchResponse {
    fn field(&self, field: Field) -> Value<'_> {
        match field {
            Field::ResponseStatus => Value::Int(i64::from(self.status.as_u16())),
            _ => Value::Null,
        }
    }

    fn entry(&self, map: Map, name: &str, index: usize) -> Value<'_> {
        if map != Map::ResponseHeaders {
            return Value::Null;
        }
        let mut own = self.headers.iter().filter(|(known, _)| known.eq_ignore_ascii_case(name));
        own.nth(index).map_or(Value::Null, |(_, value)| Value::Text(String::from_utf8_lossy(value)))
    }

    fn names(&self, map: Map, each: &mut dyn FnMut(&str)) {
        if map == Map::ResponseHeaders {
            once_each(self.headers.iter().map(|(name, _)| Cow::Borrowed(name.as_str())), each);
        }
    }

    fn body(&self, body: Body) -> Option<&[u8]> {
        (body == Body::Response).then_some(&*self.body)
    }
}

impl Exchange {
    /// The part of the path that is the API's.
    fn context_path(&self) -> Option<&str> {
        let request = self.request.as_deref()?;
        request.head.path().get(..request.context_path_len)
    }

    /// An attribute: one that was set, or one that every exchange has.
    fn attribute(&self, name: &str) -> Value<'_> {
        if let Some(value) = self.attributes.value(name) {
            return value;
        }
        let subscriber = self.subscriber.as_deref();
        match name.strip_prefix(PREFIX).unwrap_or(name) {
            "api" => Value::text(&self.api.id),
            "api.name" => Value::text(&self.api.name),
            "plan" => Value::text(&self.plan.id),
            "application" => Value::maybe_text(subscriber.map(|known| known.application.as_str())),
            "user-id" | "subscription-id" => Value::maybe_text(subscriber.map(|known| known.id.as_str())),
            "context-path" => Value::maybe_text(self.context_path()),
            "request.method" => self.field(Field::RequestMethod),
            _ => Value::Null,
        }
    }
}

fn header<'a>(fields: &'a Fields, name: &str, index: usize) -> Value<'a> {
    fields.get_all(name).nth(index).map_or(Value::Null, |value| Value::Text(String::from_utf8_lossy(value)))
}

fn names_of(fields: &Fields) -> impl Iterator<Item = Cow<'_, str>> {
    fields.iter().map(|(name, _)| String::from_utf8_lossy(name))
}

/// Names of headers and parameters repeat; there are few of them.
fn once_each<'a>(names: impl Iterator<Item = Cow<'a, str>>, each: &mut dyn FnMut(&str)) {
    let mut seen: Vec<Cow<'a, str>> = Vec::new();
    for name in names {
        if !seen.iter().any(|known| known.eq_ignore_ascii_case(&name)) {
            each(&name);
            seen.push(name);
        }
    }
}

/// The parameters of a query, in their order, decoded (the `application/x-www-form-urlencoded` of the URL standard).
pub fn parameters(query: &str) -> impl Iterator<Item = (Cow<'_, str>, Cow<'_, str>)> {
    query.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        (decoded(name, true), decoded(value, true))
    })
}

/// A text without its percent encoding; a `+` is a space where `form` says so. What is no encoding stands for itself.
pub fn decoded(text: &str, form: bool) -> Cow<'_, str> {
    if !text.bytes().any(|byte| byte == b'%' || (form && byte == b'+')) {
        return Cow::Borrowed(text);
    }
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        let hex = |at: usize| bytes.get(at).and_then(|digit| char::from(*digit).to_digit(16));
        match (byte, hex(at + 1), hex(at + 2)) {
            (b'%', Some(high), Some(low)) => {
                out.push((high * 16 + low) as u8);
                at += 2;
            }
            (b'+', ..) if form => out.push(b' '),
            (byte, ..) => out.push(*byte),
        }
        at += 1;
    }
    Cow::Owned(String::from_utf8_lossy(&out).into_owned())
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;
    use std::sync::Arc;

    use bytes::{Bytes, BytesMut};
    use ringway_expression::{Template, Vocabulary};
    use ringway_wire::{Limits, ResponseHead};

    use super::*;
    use crate::{ApiInfo, Attributes, Client, Dictionaries, Dictionary, PlanInfo, Request, Subscriber};

    fn exchange() -> Exchange {
        let text = "GET /orders/v1/x?q=a%20b+c&q=2&%C3%A9=%zz&flag HTTP/1.1\r\nhost: api.example.com\r\nX-Tier: gold\r\n\
                    x-many: 1\r\nX-MANY: 2\r\nx-raw: \u{e9}\r\n\r\n";
        let mut request = Request { context_path_len: "/orders".len(), ..Request::default() };
        request.head.parse(&mut BytesMut::from(text), &Limits::default()).unwrap();
        let mut attributes = Attributes::default();
        attributes.set("gravitee.attribute.plan", "gold");
        let mut response = ResponseHead::new();
        response.set_status(http::StatusCode::SERVICE_UNAVAILABLE);
        response.fields.append("Content-Type", "application/json").unwrap();
        let dictionaries = Dictionaries::default();
        let countries = [("FR".to_owned(), "France".to_owned())].into();
        dictionaries.put([("countries".to_owned(), Arc::new(Dictionary::new(countries)))]);
        let api = ApiInfo {
            dictionaries,
            id: "orders".into(),
            properties: [("key".to_owned(), "value".to_owned())].into(),
            ..ApiInfo::default()
        };
        let subscriber = Subscriber {
            id: "s-1".into(),
            application: "app".into(),
            metadata: [("unit".to_owned(), "kg".to_owned())].into(),
            starts_ms: 0,
            ends_ms: u64::MAX,
        };
        let client = Client { address: Some("10.1.2.3:99".parse().unwrap()), tls: true, certificate: None };
        let mut exchange = Exchange::new(Box::new(request), Rc::new(api), Rc::new(PlanInfo::default()), client);
        exchange.response = Some(Box::new(response));
        exchange.attributes = attributes;
        exchange.subscriber = Some(Rc::new(subscriber));
        exchange.contents.request = Some(Bytes::from_static(b"{\"a\": [1, 2]}"));
        exchange.path_params = [("id".into(), "a%20b".into())].into();
        exchange
    }

    #[test]
    fn expressions_see_an_exchange() {
        let table = [
            (
                "{#request.method} {#request.scheme}://{#request.host}{#request.path}",
                "GET https://api.example.com/orders/v1/x",
            ),
            ("{#request.uri}", "/orders/v1/x?q=a%20b+c&q=2&%C3%A9=%zz&flag"),
            ("{#request.contextPath}|{#request.pathInfo}|{#request.pathInfos[1]}", "/orders|/v1/x|v1"),
            ("{#request.version}", "HTTP_1_1"),
            ("{#request.remoteAddress}", "10.1.2.3"),
            ("{#request.headers['X-TIER'][0] == 'gold'}", "true"),
            ("{#request.headers['x-many']}", "1,2"),
            ("{#request.headers.keySet()}", "host,X-Tier,x-many,x-raw"),
            ("{#request.headers['x-raw']}", "\u{e9}"),
            ("{#request.params['q']}|{#request.params['é']}|{#request.params.flag}|", "a b c,2|%zz||"),
            ("{#request.params.size()}{#request.params.containsKey('flag')}", "3true"),
            ("{#request.jsonContent.a[1]}", "2"),
            ("{#response.status}{#response.headers['content-type']}{#response.content}", "503application/json"),
            ("{#context.attributes['plan']}{#context.attributes['gravitee.attribute.plan']}", "goldgold"),
            (
                "{#context.attributes['application']}|{#request.pathParams.id}|{#request.pathParamsRaw['id']}",
                "app|a b|a%20b",
            ),
            ("{#api.id}{#api.properties['key']}{#properties.none}", "ordersvalue"),
            ("{#dictionaries['countries']['FR']}|{#dictionaries.countries.get(#request.host)}|", "France||"),
            ("{#subscription.id}{#subscription.metadata}", "s-1{\"unit\":\"kg\"}"),
            ("{T(java.lang.System).currentTimeMillis() > 1600000000000}", "true"),
            ("{T(java.util.UUID).randomUUID().length()}", "36"),
            ("{#request.ssl.client.defined}{#node.id}", "false"),
        ];
        let exchange = exchange();
        for (text, wanted) in table {
            let template = Template::compile(text, &Vocabulary::response()).unwrap();
            let mut out = String::new();
            template.render(&exchange, &mut out).unwrap();
            assert_eq!(out, wanted, "{text}");
        }
        let mut lent = exchange;
        (lent.request, lent.response, lent.subscriber) = (None, None, None);
        for (text, _) in table {
            let template = Template::compile(text, &Vocabulary::response()).unwrap();
            assert!(template.evaluate(&lent).is_ok(), "{text}: what is away is null");
        }
    }

    #[test]
    fn queries_are_decoded_and_what_is_no_encoding_stays() {
        let of = |query| parameters(query).map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>();
        assert_eq!(of("a=1&b=x%20y+z&a=%C3%A9&c&=d&&"), ["a=1", "b=x y z", "a=é", "c=", "=d"]);
        assert_eq!(of("a=%&b=%4&c=%zz&d=%ff"), ["a=%", "b=%4", "c=%zz", "d=\u{fffd}"]);
    }
}
