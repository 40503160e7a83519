//! Policies and guards: one folder each, one line in a table here.
//!
//! From its [`Kind`] come an extension's validation, its schema, its reference page and its place in `ringway list`.

use ringway_contract::{Guard, Kind, Policy};

mod ant;
pub mod api_key;
pub mod assign_attributes;
pub mod assign_content;
mod cache;
mod captures;
mod credentials;
pub mod dynamic_routing;
pub mod http_redirect;
pub mod ip_filtering;
pub mod javascript;
mod jose;
pub mod js;
mod json;
pub mod json_threat_protection;
pub mod json_to_json;
pub mod json_validation;
pub mod json_xml;
pub mod jwt;
pub mod key_less;
mod lend;
mod limits;
mod media;
pub mod mock;
pub mod mtls;
pub mod oas_validation;
pub mod oauth2;
pub mod override_request_method;
mod pattern;
mod query;
pub mod quota;
pub mod rate_limit;
pub mod rbac;
pub mod regex_threat_protection;
pub mod request_validation;
pub mod resource_filtering;
pub mod rest_to_soap;
mod route;
mod schema;
mod script;
pub mod spike_arrest;
pub mod ssl_enforcement;
pub mod status_code_policy;
mod text;
pub mod transform_headers;
pub mod transform_queryparams;
pub mod url_rewriting;
mod verb;
pub mod wasm;
mod xml;
pub mod xml_json;
pub mod xml_threat_protection;

/// Who may call a plan.
pub static GUARDS: &[&Kind<dyn Guard>] = &[&api_key::KIND, &jwt::KIND, &key_less::KIND, &mtls::KIND, &oauth2::KIND];

/// Steps of flows.
pub static POLICIES: &[&Kind<dyn Policy>] = &[
    &assign_attributes::KIND,
    &assign_content::KIND,
    &dynamic_routing::KIND,
    &http_redirect::KIND,
    &ip_filtering::KIND,
    &javascript::KIND,
    &js::KIND,
    &json_threat_protection::KIND,
    &json_to_json::KIND,
    &json_validation::KIND,
    &json_xml::KIND,
    &mock::KIND,
    &oas_validation::KIND,
    &override_request_method::KIND,
    &quota::KIND,
    &rate_limit::KIND,
    &rbac::KIND,
    &regex_threat_protection::KIND,
    &request_validation::KIND,
    &resource_filtering::KIND,
    &rest_to_soap::KIND,
    &spike_arrest::KIND,
    &ssl_enforcement::KIND,
    &status_code_policy::KIND,
    &transform_headers::KIND,
    &transform_queryparams::KIND,
    &url_rewriting::KIND,
    &wasm::KIND,
    &xml_json::KIND,
    &xml_threat_protection::KIND,
];
