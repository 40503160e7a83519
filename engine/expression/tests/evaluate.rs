//! What expressions give: each line is a text and how its value is written as JSON.
#![allow(clippy::unwrap_used, reason = "test code outside of test functions")]

mod support;

use ringway_expression::{Needs, Template, Value, Vocabulary};
use support::Sample;

fn vocabulary() -> Vocabulary {
    Vocabulary::response().with(ringway_expression::Root::Message)
}

fn shown(value: &Value<'_>) -> String {
    match value {
        Value::Null => "null".into(),
        Value::Bool(value) => value.to_string(),
        Value::Int(value) => value.to_string(),
        Value::Float(value) => format!("{value:?}"),
        Value::Text(text) => format!("'{text}'"),
        Value::List(items) => format!("[{}]", items.iter().map(shown).collect::<Vec<_>>().join(", ")),
        Value::Map(entries) => {
            let entries = entries.iter().map(|(key, value)| format!("{key}: {}", shown(value)));
            format!("{{{}}}", entries.collect::<Vec<_>>().join(", "))
        }
    }
}

fn result(text: &str) -> String {
    match Template::compile(text, &vocabulary()) {
        Ok(template) => match template.evaluate(&Sample) {
            Ok(value) => shown(&value),
            Err(error) => format!("error {error}"),
        },
        Err(problem) => format!("problem {problem}"),
    }
}

#[track_caller]
fn all(table: &[(&str, &str)]) {
    let wrong: Vec<String> = table
        .iter()
        .map(|(text, wanted)| (text, wanted, result(text)))
        .filter(|(_, wanted, got)| got != *wanted)
        .map(|(text, wanted, got)| format!("{text}\n    wanted {wanted}\n    got    {got}"))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn texts_are_templates() {
    all(&[
        ("", "''"),
        ("plain", "'plain'"),
        ("{}", "'{}'"),
        ("{\"a\": {}}", "'{\"a\": {}}'"),
        ("https://{#request.host}/x", "'https://api.example.com/x'"),
        ("{#request.method}", "'GET'"),
        ("{#response.status}", "503"),
        ("s={#response.status}!", "'s=503!'"),
        ("{#request.method}{#request.host}", "'GETapi.example.com'"),
        ("a{#request.headers['none']}b", "'ab'"),
        ("{#request.headers['x-many']}!", "'one,two!'"),
        ("{(1 + 2)}", "3"),
        ("{T(java.lang.Math).max(1, 2)}", "2"),
        ("{({'admin', 'writer'})}", "['admin', 'writer']"),
        ("{ #request.method }", "'{ #request.method }'"),
        ("{#jsonPath(#request.content, '$.address')} .", "'{\"city\":\"London\",\"zip\":\"N1\"} .'"),
    ]);
}

#[test]
fn roots_have_properties() {
    all(&[
        ("{#request.headers['X-Tier'][0]}", "'gold'"),
        ("{#request.headers['x-tier']}", "['gold']"),
        ("{#request.headers.get('X-Many')}", "['one', 'two']"),
        ("{#request.headers['x-many'][1]}", "'two'"),
        ("{#request.headers['x-many'][2]}", "null"),
        ("{#request.headers['no'][0]}", "null"),
        ("{#request.headers['x-many'][#request.headers['x-tier'].size()]}", "'two'"),
        ("{#request.headers.getFirst('x-many')}", "'one'"),
        ("{#request.headers['x-tier'][0] == 'gold'}", "true"),
        ("{('gold' == #request.headers['X-Tier'])}", "true"),
        ("{#request.headers['x-tier'] != 'gold'}", "false"),
        ("{#request.headers['x-many'] == 'one'}", "false"),
        ("{#request.headers['x-many'][1] == 'two' && #request.headers['x-many'][2] != 'two'}", "true"),
        ("{#request.headers['no'][0] == '' or #request.headers['no'] == ''}", "false"),
        ("{#request.headers['no'] != 'x'}", "true"),
        ("{#request.headers.containsKey('x-tier')}", "true"),
        ("{#request.headers.containsKey('no')}", "false"),
        ("{#request.headers.getOrDefault('no', 'x')}", "'x'"),
        ("{#request.headers.size()}", "3"),
        ("{#request.headers.keySet().contains('x-many')}", "true"),
        ("{#request.headers[#request.headers['x-none'] ?: 'X-TIER'][0]}", "'gold'"),
        ("{#request.params.sort}", "['up']"),
        ("{#request.params['sort'] == 'up'}", "true"),
        ("{#request.pathParams['id']}", "'17'"),
        ("{#request.paths[1]}", "'orders'"),
        ("{#request.paths}", "['', 'orders', 'v1', 'items', '17']"),
        ("{#request.pathInfos[1] + #request.pathInfos.length}", "'v14'"),
        ("{#request['method']}", "'GET'"),
        ("{#request?.method}", "'GET'"),
        ("{#request.ssl.client.cn}", "'client.example.com'"),
        ("{#request.ssl.client.attributes['OU'][1]}", "'Test'"),
        ("{#request.ssl.client.defined}", "true"),
        ("{#request.ssl.server.defined}", "false"),
        ("{#context.attributes['plan']}", "'gold-plan'"),
        ("{#context.attributes.plan}", "'gold-plan'"),
        ("{#context.attributes['gravitee.attribute.plan']}", "'gold-plan'"),
        ("{#context.attributes['none'].email}", "null"),
        ("{#api.properties['key']}{#properties.key}", "'valuevalue'"),
        ("{#api.properties}", "{key: 'value'}"),
        ("{#api.name}", "'Orders'"),
        ("{#dictionaries['countries']['FR']}", "'France'"),
        ("{#dictionaries.countries.DE}", "null"),
        ("{#dictionaries.get('countries').get('FR')}", "'France'"),
        ("{#endpoints['default']}", "'default:'"),
        ("{#node.shardingTags.contains('eu')}", "true"),
        ("{#subscription.metadata.unit}", "'kg'"),
        ("{#message.contentLength > 0}", "true"),
        ("{#message.content}", "null"),
        ("{#response.jsonContent.a.b[0]}", "null"),
        ("{#response.content}", "'not json'"),
    ]);
}

#[test]
fn operators_compute() {
    all(&[
        ("{(1 + 2 * 3 - 4)}", "3"),
        ("{(7 / 2)}", "3"),
        ("{(7 div 2.0)}", "3.5"),
        ("{(-7 % 3)}", "-1"),
        ("{(2 ^ 10)}", "1024"),
        ("{(2L + 0x10)}", "18"),
        ("{(1.5f + 1e1)}", "11.5"),
        ("{('a' + 1 + null)}", "'a1null'"),
        ("{(1 + null)}", "null"),
        ("{('it''s' + \"a \"\"b\"\"\")}", "'it'sa \"b\"'"),
        ("{(1 == 1.0)}", "true"),
        ("{('1' == 1)}", "false"),
        ("{(null == null)}", "true"),
        ("{(null < 1)}", "false"),
        ("{(null >= null)}", "false"),
        ("{('a' lt 'b' and 2 GE 2 && 1 ne 2)}", "true"),
        ("{(false or not false)}", "true"),
        ("{(!null)}", "true"),
        ("{(1 > 2 ? 'x' : 2 > 1 ? 'y' : 'z')}", "'y'"),
        ("{(null ?: 'd')}", "'d'"),
        ("{#context.attributes['empty'] ?: 'd'}", "'d'"),
        ("{#request.host matches '.*\\.example\\.com'}", "true"),
        ("{#request.host matches 'example'}", "false"),
        ("{#request.headers['none'][0] matches '.*'}", "false"),
        ("{#response.status between {500, 599}}", "true"),
        ("{({1, 2, 'x'}[2])}", "'x'"),
        ("{({name: 'n', 'a-b': 1 + 1}['a-b'])}", "2"),
        ("{({:}).isEmpty()}", "true"),
        ("{({}).size()}", "0"),
        ("{({1, {2, 3}} == {1, {2, 3}})}", "true"),
        ("{({a: 1} == {a: 1})}", "true"),
        ("{({1, 2, 3, 4}.?[#this > 2])}", "[3, 4]"),
        ("{({1, 2, 3, 4}.^[#this > 2])}", "3"),
        ("{({1, 2, 3, 4}.$[#this > 2])}", "4"),
        ("{({1, 2}.![#this * 10])}", "[10, 20]"),
        ("{({a: 1, b: 5}.?[value > 2])}", "{b: 5}"),
        ("{({a: 1, b: 5}.![key])}", "['a', 'b']"),
        ("{#request.jsonContent.items.![price]}", "[8, 20, 12.5]"),
        ("{#request.jsonContent.items.?[price > 10].![id]}", "[2, 3]"),
        ("{#request.headers['x-many'].?[length() == 3].size()}", "2"),
    ]);
}

#[test]
fn values_have_methods() {
    all(&[
        ("{('héllo'.length())}", "5"),
        ("{('héllo'.substring(1, 3))}", "'él'"),
        ("{('hello'.substring(3))}", "'lo'"),
        ("{('hello'.substring(9))}", "''"),
        ("{('hello'.charAt(1))}", "'e'"),
        ("{('hello'.indexOf('l'))}", "2"),
        ("{('hello'.lastIndexOf('l'))}", "3"),
        ("{('hello'.indexOf('x'))}", "-1"),
        ("{(' a '.trim() + ' b '.strip())}", "'ab'"),
        ("{('aXa'.toLowerCase().toUpperCase())}", "'AXA'"),
        ("{('a.b.c'.replace('.', '-'))}", "'a-b-c'"),
        ("{('a1b22'.replaceAll('([0-9]+)', '<$1>'))}", "'a<1>b<22>'"),
        ("{('a,b,,'.split(','))}", "['a', 'b']"),
        ("{('a1'.matches('[a-z][0-9]'))}", "true"),
        ("{('a'.equals('a') and 'A'.equalsIgnoreCase('a'))}", "true"),
        ("{('a'.concat('b').contains('ab'))}", "true"),
        ("{('' .isEmpty() and ' '.isBlank())}", "true"),
        ("{#request.headers['x-tier'].startsWith('go')}", "true"),
        ("{#request.path.split('/')[2]}", "'v1'"),
        ("{#request.headers['none'].startsWith('go')}", "null"),
        ("{#request.headers['none'][0].toLowerCase().length() > 1}", "false"),
        ("{({1, 2}.contains(2))}", "true"),
        ("{({1, 2}.indexOf(2) + {3}.get(0) + {4, 5}.getLast())}", "9"),
        ("{({a: 1}.containsKey('a') and {a: 1}.containsValue(1))}", "true"),
        ("{({a: 1}.getOrDefault('b', 2))}", "2"),
        ("{({a: 1}.keySet())}", "['a']"),
        ("{({a: 1}.a)}", "1"),
        ("{(1.7.intValue())}", "1"),
        ("{(1.doubleValue().toString())}", "'1.0'"),
        ("{('b'.compareTo('a'))}", "1"),
        ("{('a' + {1, 2}.toString())}", "'a1,2'"),
    ]);
}

#[test]
fn functions_are_carried() {
    all(&[
        ("{T(java.lang.Integer).parseInt(#request.headers['content-length'][0]) > 41}", "true"),
        ("{T(java.lang.Integer).parseInt('x')}", "null"),
        ("{T(Long).valueOf('5') + T(Double).parseDouble('1.5')}", "6.5"),
        ("{T(java.lang.Boolean).parseBoolean('TRUE')}", "true"),
        ("{T(String).valueOf(12).length()}", "2"),
        ("{T(Math).abs(-3) + T(Math).min(1, 2) + T(Math).round(2.5)}", "7"),
        ("{T(Math).floor(1.5) + T(Math).ceil(1.5)}", "3.0"),
        ("{T(java.util.UUID).randomUUID()}", "'00000000-0000-4000-8000-000000000007'"),
        ("{T(java.lang.System).currentTimeMillis() - #request.timestamp}", "123"),
        ("{#xmlEscape(#request.params['q'])}", "'&lt;&amp;&quot;&apos;&gt;'"),
        ("{#jsonEscape('a\"\n')}", "'a\\\"\\n'"),
    ]);
}

#[test]
fn json_paths_find_values() {
    all(&[
        ("{#jsonPath(#request.content, '$.name')}", "'Ada'"),
        ("{#jsonPath(#request.content, '$[\"address\"][\"city\"]')}", "'London'"),
        ("{#jsonPath(#request.content, '$.none.x')}", "null"),
        ("{#jsonPath(#request.content, '$.tags[-1]')}", "'d'"),
        ("{#jsonPath(#request.content, '$.tags[1]')}", "'b\"c'"),
        ("{#jsonPath(#request.content, '$.tags[0:2].length()')}", "2"),
        ("{#jsonPath(#request.content, '$.tags[::-1]')}", "['d', 'b\"c', 'a']"),
        ("{#jsonPath(#request.content, '$.tags[0,2]')}", "['a', 'd']"),
        ("{#jsonPath(#request.content, '$.tags.length()')}", "3"),
        ("{#jsonPath(#request.content, '$..price')}", "[8, 20, 12.5]"),
        ("{#jsonPath(#request.content, '$.items[*].id')}", "[1, 2, 3]"),
        ("{#jsonPath(#request.content, '$.address.*')}", "['London', 'N1']"),
        ("{#jsonPath(#request.content, '$.items[?(@.price > 10)].id')}", "[2, 3]"),
        ("{#jsonPath(#request.content, '$.items[?(@.sku && @.price < 10)].id')}", "[1]"),
        ("{#jsonPath(#request.content, \"$.items[?(!@.sku || @.sku == 'z')].id\")}", "[2, 3]"),
        ("{#jsonPath(#request.jsonContent.items, '$[1].id')}", "2"),
        ("{#jsonPath('[{\"a\": 5}]', '$[0].a')}", "5"),
        ("{#jsonPath(#request.content, '$.' + 'age')}", "36"),
        ("{#jsonPath(#message.content, '$.a') == 'x'}", "false"),
        ("{#jsonPath(#response.content, '$.a')}", "null"),
        ("{#request.jsonContent.address.city}", "'London'"),
        ("{#request.jsonContent['tags'][0]}", "'a'"),
    ]);
}

#[test]
fn wrong_operands_are_errors_with_a_place() {
    all(&[
        (
            "{#request.method < #response.status}",
            "error at byte 17: `<` does not take a text on its left side and a number on its right",
        ),
        (
            "{#response.status / #message.contentLength.replace('1', '')}",
            "error at byte 43: `replace` is no method of a number",
        ),
        ("{#response.status / (#response.status - 503)}", "error at byte 18: `/` by zero"),
        ("{#response.status ^ 1000}", "error at byte 18: the result of `^` does not fit in 64 bits"),
        ("{#response.status and true}", "error at byte 18: true or false is needed here, not a number"),
    ]);
}

#[test]
fn conditions_hold_or_not() {
    let holds = |text: &str| {
        let template = Template::condition(text, &vocabulary()).map_err(|problem| problem.to_string())?;
        template.as_bool(&Sample).map_err(|error| error.to_string())
    };
    assert_eq!(holds(" {#request.method == 'GET'} "), Ok(true));
    assert_eq!(holds("{#request.headers['none'][0]}"), Ok(false));
    assert_eq!(holds("true"), Ok(true));
    assert_eq!(holds(" {#response.status}"), Err("at byte 1: true or false is needed here, not a number".into()));
    assert_eq!(
        holds("#request.method == 'GET'"),
        Err("at byte 0: a condition is one expression (write `{#request.method == 'GET'}`)".into())
    );
    assert!(holds("{(1)}").unwrap_err().contains("true or false, not a number"));
}

#[test]
fn a_template_says_what_must_be_kept() {
    let needs = |text| Template::compile(text, &vocabulary()).unwrap().needs();
    assert_eq!(needs("{#request.method}"), Needs::default());
    let request = Needs { request_content: true, ..Needs::default() };
    assert_eq!(needs("{#jsonPath(#request.content, '$.a')}"), request);
    let others = Needs { response_content: true, message_content: true, ..Needs::default() };
    assert_eq!(needs("{#response.jsonContent.a}{#message.content}"), others);
}
