//! Turns parts of an HTML page into JSON.

use std::rc::Rc;

use http::StatusCode;
use ringway_contract::kind::{Part, decode, refused};
use ringway_contract::{Exchange, Kind, Phases, Policy, Refusal, Reply, Step};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::html::Document;
use crate::html::select::Selector;
use crate::json::write_string;

/// `html-json`.
pub static KIND: Kind<dyn Policy> = Kind {
    name: "html-json",
    about: "Makes JSON of the texts of a response's HTML page that selectors choose.",
    docs: include_str!("README.md"),
    configuration: Part::of::<Config>()
        .examined(|configuration, _| refused(configuration, decode(configuration).and_then(HtmlJson::new).err())),
    shared: None,
    messaging: None,
    build: |source, _| Ok(Rc::new(HtmlJson::new(decode(source.configuration)?)?)),
};

/// Configuration of `html-json`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Config {
    /// Members of the JSON object, in this order.
    pub selectors: Vec<Member>,
}

/// A member of the JSON object.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Member {
    /// Its name.
    pub json_name: String,
    /// A CSS selector: whose text it has.
    pub selector: String,
    /// Whether it is an array with the text of each element; otherwise it is one text of them all.
    pub array: bool,
}

/// Members of an object.
const MEMBERS_MAX: usize = 100;
/// Bytes that may come of a page: each selector may choose all of it.
const OUT_BYTES_MAX: usize = 16 * 1024 * 1024;

struct HtmlJson {
    members: Vec<(String, Selector, bool)>,
}

impl HtmlJson {
    fn new(config: Config) -> Result<Self, Refusal> {
        if config.selectors.is_empty() || config.selectors.len() > MEMBERS_MAX {
            return Err(Refusal(format!("selectors: there are 1 to {MEMBERS_MAX} of them")));
        }
        let members = config.selectors.into_iter().enumerate().map(|(at, member)| {
            if member.json_name.is_empty() {
                return Err(Refusal(format!("selectors[{at}].jsonName: a name is needed")));
            }
            let selector = Selector::parse(&member.selector);
            let selector =
                selector.map_err(|Refusal(reason)| Refusal(format!("selectors[{at}].selector: {reason}")))?;
            Ok((member.json_name, selector, member.array))
        });
        let members: Vec<_> = members.collect::<Result<_, Refusal>>()?;
        for (at, (name, ..)) in members.iter().enumerate() {
            if members.iter().take(at).any(|(known, ..)| known == name) {
                return Err(Refusal(format!("selectors[{at}].jsonName: `{name}` is there twice")));
            }
        }
        Ok(Self { members })
    }

    fn json(&self, page: &str) -> Result<String, &'static str> {
        let document = Document::parse(page);
        let mut out = String::from("{");
        for (at, (name, selector, array)) in self.members.iter().enumerate() {
            out.push_str(if at > 0 { "," } else { "" });
            write_string(name, &mut out);
            out.push(':');
            let mut all = String::new();
            out.push_str(if *array { "[" } else { "" });
            for (at, element) in selector.select(&document)?.into_iter().enumerate() {
                if *array {
                    out.push_str(if at > 0 { "," } else { "" });
                    all.clear();
                } else if !all.is_empty() {
                    all.push(' ');
                }
                document.put_text(element, &mut all);
                if *array {
                    write_string(&all, &mut out);
                }
                if out.len() + all.len() > OUT_BYTES_MAX {
                    return Err("more than 16 MiB would come of the page");
                }
            }
            if *array {
                out.push(']');
            } else {
                write_string(all.trim_end(), &mut out);
            }
        }
        out.push('}');
        Ok(out)
    }
}

impl Policy for HtmlJson {
    fn phases(&self) -> Phases {
        Phases::RESPONSE.with_content()
    }

    fn response<'a>(&'a self, exchange: &'a mut Exchange) -> Step<'a> {
        let Some(response) = exchange.response.as_deref_mut() else { return Step::Next };
        let page = exchange.contents.response.take().unwrap_or_default();
        match self.json(&String::from_utf8_lossy(&page)) {
            Ok(json) => {
                exchange.contents.response = Some(json.into());
                // A constant is a value that every head takes.
                let _ = response.fields.set("Content-Type", "application/json");
                Step::Next
            }
            Err(reason) => {
                let status = StatusCode::INTERNAL_SERVER_ERROR;
                Step::Reply(Box::new(Reply::refusal(status, "HTML_JSON_TRANSFORMATION_ERROR", reason)))
            }
        }
    }
}
