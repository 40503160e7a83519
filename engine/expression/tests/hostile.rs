//! Inputs that want to break something: they end soon, with a problem, an error or a value.
#![allow(clippy::unwrap_used, reason = "test code outside of test functions")]

mod support;

use ringway_expression::limits::{BYTES_MAX, DEPTH_MAX, NODES_MAX, TEMPLATE_BYTES_MAX};
use ringway_expression::{Body, Context, Template, Value, Vocabulary, context::Nothing};
use support::Sample;

fn compile(text: &str) -> Result<Template, String> {
    Template::compile(text, &Vocabulary::response()).map_err(|problem| problem.message)
}

fn evaluate(text: &str, context: &dyn Context) -> Result<(), String> {
    compile(text)?.evaluate(context).map(drop).map_err(|error| error.message)
}

#[test]
fn nesting_is_bounded() {
    let many = 50_000;
    let deep = format!("nested more than {DEPTH_MAX} deep");
    for text in [
        format!("{{({}1", "(".repeat(many)),
        format!("{{({}", "{".repeat(many)),
        format!("{{({}true)}}", "!".repeat(many)),
        format!("{{({}1)}}", "-".repeat(many / 2 * 2 - 1).replace("--", "- -")),
        format!("{{#request.id{})}}", "?1:1".repeat(many)),
        format!("{{(1{})}}", " ? 1 : 1".repeat(many)),
        format!("{{(null{})}}", " ?: null".repeat(many)),
        format!("{{#request.id{}}}", ".trim()".repeat(many)),
        format!("{{#request.jsonContent{}}}", ".a".repeat(many)),
        format!("{{#request.jsonContent{}}}", "[0]".repeat(many)),
        format!("{{#request.id{}}}", " + #request.id".repeat(many)),
        format!("{{#request.id == 'a'{}}}", " and #request.id == 'a'".repeat(20_000)),
        format!("{{#request.jsonContent{}", ".![a".repeat(many)),
    ] {
        let problem = compile(&text).expect_err(&text[..60.min(text.len())]);
        let bounded = problem.contains(&deep) || problem.contains("parts") || problem.contains("expected");
        assert!(bounded, "{problem}");
    }
    let filter = "(".repeat(100_000);
    assert!(compile(&format!("{{#jsonPath('{{}}', '$[?({filter}')}}")).unwrap_err().contains("deep"));
    let nots = "!".repeat(100_000);
    assert!(compile(&format!("{{#jsonPath('{{}}', '$[?({nots}')}}")).unwrap_err().contains("steps"));
    let fits = format!("{{(1{})}}", " + 1".repeat(DEPTH_MAX as usize * 10));
    assert!(compile(&fits).is_ok(), "constants are folded, and take no depth");
}

#[test]
fn length_is_bounded() {
    assert!(compile(&"x".repeat(TEMPLATE_BYTES_MAX + 1)).unwrap_err().contains("bytes"));
    assert!(compile(&"x".repeat(TEMPLATE_BYTES_MAX)).is_ok());
    let list = format!("{{({{{}1}})}}", "#request.id,".repeat(NODES_MAX));
    assert!(compile(&list).unwrap_err().contains("parts"));
    assert!(compile(&"{#request.id}".repeat(2000)).unwrap_err().contains("expressions"));
}

#[test]
fn patterns_run_in_linear_time_and_small_memory() {
    let text = format!("{}!", "a".repeat(100_000));
    struct Long(String);
    impl Context for Long {
        fn body(&self, _: Body) -> Option<&[u8]> {
            Some(self.0.as_bytes())
        }
    }
    assert_eq!(evaluate("{#request.content matches '(a+)+'}", &Long(text)), Ok(()));
    assert!(compile("{#request.id matches '((a{1000}){1000}){1000}'}").unwrap_err().contains("memory"));
}

#[test]
fn what_is_made_is_bounded() {
    // Each step makes the text a hundred times longer.
    let hundred = "x".repeat(100);
    let grow = format!(".replace('x', '{hundred}')").repeat(10);
    let text = format!("{{(#request.id + 'x'){grow}}}");
    assert!(evaluate(&text, &Sample).unwrap_err().contains(&format!("{BYTES_MAX} bytes")));
    let text = format!("{{('x'){grow}}}");
    assert!(compile(&text).unwrap_err().contains("bytes"), "folding is bounded, too");
    let all = format!("{{(#request.id + 'x'){}}}", format!(".replaceAll('.', '{hundred}')").repeat(10));
    assert!(evaluate(&all, &Sample).is_err());

    // Shared lists, whose rendering doubles with each step.
    let double = ".![{#this, #this}]".repeat(60);
    let text = format!("{{#request.paths{double}}}");
    assert_eq!(evaluate(&text, &Sample), Ok(()), "sharing costs nothing");
    let mut out = String::new();
    assert!(compile(&text).unwrap().render(&Sample, &mut out).is_err());
    let same = format!("{{(#request.paths{double} == #request.paths{double})}}");
    assert!(evaluate(&same, &Sample).unwrap_err().contains("steps"));
}

#[test]
fn steps_are_bounded() {
    let list = (0..200).map(|number| number.to_string()).collect::<Vec<_>>().join(",");
    let text = format!("{{({{{list}}}.![{{{list}}}.?[#this > 5].![{{{list}}}.contains(#this)]])}}");
    assert!(evaluate(&text, &Sample).unwrap_err().contains("steps"));
    let nested = format!("{}1{}", "[".repeat(30), "]".repeat(30));
    let path = format!("${}", "[0,0,0,0,0,0,0,0]".repeat(20));
    let text = format!("{{#jsonPath('{nested}', '{path}')}}");
    assert!(evaluate(&text, &Sample).unwrap_err().contains("steps"));
}

#[test]
fn documents_are_bounded() {
    struct Document(Vec<u8>);
    impl Context for Document {
        fn body(&self, _: Body) -> Option<&[u8]> {
            Some(&self.0)
        }
    }
    let wide = format!("[{}1]", "1,".repeat(200_000)).into_bytes();
    assert!(evaluate("{#request.jsonContent}", &Document(wide)).unwrap_err().contains("values"));
    let deep = "[".repeat(1_000_000).into_bytes();
    assert_eq!(evaluate("{#jsonPath(#request.content, '$..a')}", &Document(deep)), Ok(()));
    assert_eq!(evaluate("{#request.content.length()}", &Document(vec![0xff; 1000])), Ok(()));
}

#[test]
fn nothing_is_never_an_error() {
    let text = "{#request.headers['a'][0].trim().substring(1, 2).length() + #response.status * 2 > 5 \
                or #request.jsonContent.a.b['c'][0].d.?[x == 1].size() == 1 \
                or #context.attributes['x'].toLowerCase().contains(#request.params['y'][0]) \
                or T(Integer).parseInt(#request.params['n'][0]) < 5 or -#response.status == 3 \
                or #xmlEscape(#request.content) == 'x' or #request.paths[3].equals('x') \
                or #jsonPath(#response.content, #api.properties['path']).isEmpty()}";
    let template = compile(text).unwrap();
    assert_eq!(template.as_bool(&Nothing), Ok(false));
    assert_eq!(compile("{#request.headers}{#api.properties.x}").unwrap().evaluate(&Nothing), Ok(Value::text("{}")));
}
