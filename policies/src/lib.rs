//! Policies and guards: one folder each, one line in a table here.
//!
//! From its [`Kind`] come an extension's validation, its schema, its reference page and its place in `ringway list`.

use ringway_contract::{Guard, Kind, Policy};

mod ant;
pub mod api_key;
mod asked;
pub mod assign_attributes;
pub mod assign_content;
mod avro;
pub mod avro_json;
pub mod avro_protobuf;
pub mod basic_authentication;
pub mod cache;
mod captures;
pub mod circuit_breaker;
mod clock;
pub mod cloud_events;
mod common;
mod conversion;
mod copy;
mod credentials;
pub mod data_logging_masking;
pub mod dynamic_routing;
mod framing;
#[cfg(any(fuzzing, test))]
pub mod fuzz;
mod gate;
pub mod generate_http_signature;
pub mod generate_jwt;
pub mod geoip_filtering;
mod graphql;
pub mod graphql_limits;
pub mod graphql_rate_limit;
mod hashed;
mod html;
pub mod html_json;
pub mod http_callout;
pub mod http_redirect;
pub mod http_signature;
pub mod interrupt;
pub mod ip_filtering;
pub mod javascript;
mod jose;
pub mod js;
mod json;
pub mod json_threat_protection;
pub mod json_to_json;
pub mod json_validation;
pub mod json_xml;
pub mod jws;
pub mod jwt;
pub mod key_less;
pub mod latency;
mod lend;
mod limits;
mod media;
mod message;
pub mod message_filtering;
pub mod mock;
pub mod mtls;
pub mod oas_validation;
pub mod oauth2;
pub mod override_request_method;
mod pattern;
mod protobuf;
pub mod protobuf_json;
mod query;
pub mod quota;
pub mod rate_limit;
pub mod rbac;
mod redis;
pub mod regex_threat_protection;
mod registry;
pub mod request_content_limit;
pub mod request_validation;
pub mod resource_filtering;
pub mod rest_to_soap;
pub mod retry;
mod route;
mod schema;
pub mod schema_registry_json;
mod scope;
mod script;
mod seal;
pub mod spike_arrest;
pub mod ssl_enforcement;
mod status;
pub mod status_code_policy;
mod tape;
mod text;
mod tokens;
pub mod traffic_shadowing;
pub mod transform_headers;
pub mod transform_queryparams;
pub mod url_rewriting;
mod varint;
mod verb;
pub mod wasm;
mod xml;
pub mod xml_json;
pub mod xml_threat_protection;
pub mod xml_validation;
pub mod xslt;

pub use json_to_json::RESHAPING;
pub use redis::figures::expose as metrics;

/// Who may call a plan.
pub static GUARDS: &[&Kind<dyn Guard>] = &[&api_key::KIND, &jwt::KIND, &key_less::KIND, &mtls::KIND, &oauth2::KIND];

/// Steps of flows.
pub static POLICIES: &[&Kind<dyn Policy>] = &[
    &assign_attributes::KIND,
    &assign_content::KIND,
    &avro_json::KIND,
    &avro_protobuf::KIND,
    &basic_authentication::KIND,
    &cache::KIND,
    &circuit_breaker::KIND,
    &cloud_events::KIND,
    &data_logging_masking::KIND,
    &dynamic_routing::KIND,
    &generate_http_signature::KIND,
    &generate_jwt::KIND,
    &geoip_filtering::KIND,
    &graphql_limits::KIND,
    &graphql_rate_limit::KIND,
    &html_json::KIND,
    &http_callout::KIND,
    &http_redirect::KIND,
    &http_signature::KIND,
    &interrupt::KIND,
    &ip_filtering::KIND,
    &javascript::KIND,
    &js::KIND,
    &json_threat_protection::KIND,
    &json_to_json::KIND,
    &json_validation::KIND,
    &json_xml::KIND,
    &jws::KIND,
    &latency::KIND,
    &message_filtering::KIND,
    &mock::KIND,
    &oas_validation::KIND,
    &override_request_method::KIND,
    &protobuf_json::KIND,
    &quota::KIND,
    &rate_limit::KIND,
    &rbac::KIND,
    &regex_threat_protection::KIND,
    &request_content_limit::KIND,
    &request_validation::KIND,
    &resource_filtering::KIND,
    &rest_to_soap::KIND,
    &retry::KIND,
    &schema_registry_json::KIND,
    &spike_arrest::KIND,
    &ssl_enforcement::KIND,
    &status_code_policy::KIND,
    &traffic_shadowing::KIND,
    &transform_headers::KIND,
    &transform_queryparams::KIND,
    &url_rewriting::KIND,
    &wasm::KIND,
    &xml_json::KIND,
    &xml_threat_protection::KIND,
    &xml_validation::KIND,
    &xslt::KIND,
];
