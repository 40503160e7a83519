//! Properties: what a module may ask for by a path, of whose segments each but the last has a zero behind it.

use ringway_contract::{Exchange, Fields, Version};

/// The value of a property; `None` where there is none.
pub fn get(exchange: &Exchange, path: &str) -> Option<Vec<u8>> {
    let path = path.strip_suffix('\0').unwrap_or(path);
    let (root, rest) = path.split_once('\0').unwrap_or((path, ""));
    match root {
        "request" => request(exchange, rest),
        "response" => response(exchange, rest),
        "source" => match rest {
            "address" => Some(exchange.client.address?.to_string().into()),
            "port" => Some(number(exchange.client.address?.port().into())),
            _ => None,
        },
        "api" => Some(match rest {
            "id" => exchange.api.id.clone().into(),
            "name" => exchange.api.name.clone().into(),
            "version" => exchange.api.version.clone().into(),
            other => exchange.api.properties.get(other.strip_prefix("properties\0")?)?.clone().into(),
        }),
        "plan" if rest == "id" => Some(exchange.plan.id.clone().into()),
        "subscription" if rest == "id" => Some(exchange.subscriber.as_deref()?.id.clone().into()),
        "attributes" => exchange.attributes.get(rest).map(|value| value.as_bytes().to_vec()),
        "plugin_root_id" | "plugin_vm_id" => Some(Vec::new()),
        _ => None,
    }
}

/// Sets a property: attributes only. `None` for any other.
pub fn set(exchange: &mut Exchange, path: &str, value: String) -> Option<()> {
    let name = path.strip_suffix('\0').unwrap_or(path).strip_prefix("attributes\0")?;
    exchange.attributes.set(name.to_owned(), value);
    Some(())
}

/// Numbers are those of 64 bits, the least byte first.
fn number(number: u64) -> Vec<u8> {
    number.to_le_bytes().to_vec()
}

fn field(fields: &Fields, path: &str) -> Option<Vec<u8>> {
    fields.get(path.strip_prefix("headers\0")?).map(<[u8]>::to_vec)
}

fn request(exchange: &Exchange, name: &str) -> Option<Vec<u8>> {
    let head = &exchange.request.as_deref()?.head;
    let text = |text: &str| Some(text.as_bytes().to_vec());
    match name {
        "path" => match head.query() {
            Some(query) => text(&format!("{}?{query}", head.path())),
            None => text(head.path()),
        },
        "url_path" => text(head.path()),
        "query" => text(head.query().unwrap_or_default()),
        "host" => text(head.host()),
        "method" => text(head.method.as_str()),
        "scheme" => text(if exchange.client.tls { "https" } else { "http" }),
        "protocol" => text(if head.version == Version::Http10 { "HTTP/1.0" } else { "HTTP/1.1" }),
        "size" => Some(number(exchange.contents.request.as_ref()?.len() as u64)),
        _ => field(&head.fields, name),
    }
}

fn response(exchange: &Exchange, name: &str) -> Option<Vec<u8>> {
    let head = exchange.response.as_deref()?;
    match name {
        "code" => Some(number(head.status.as_u16().into())),
        "size" => Some(number(exchange.contents.response.as_ref()?.len() as u64)),
        _ => field(&head.fields, name),
    }
}
