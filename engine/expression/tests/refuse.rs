//! What is refused when it is compiled: each line is a text, where, what, and the hint.

use ringway_expression::{Template, Vocabulary};

#[test]
fn problems_have_a_place_and_a_hint() {
    let table = [
        ("x{#request.hedders}", 11, "`#request` has no `hedders`", "did you mean `headers`?"),
        ("{#requets.id}", 1, "`#requets` is not known", "did you mean `#request`?"),
        ("{#response.status}", 1, "`#response` does not exist here", "what exists is `#request`"),
        ("{#message.id}", 1, "`#message` does not exist here", "`#request`"),
        ("{#request}", 1, "`#request` is no value by itself", "it has `id`"),
        ("{#request.headers.my-header}", 21, "`header` is not known", "in brackets: ['a-b']"),
        ("{#request.id = 1}", 13, "`=` stands where", "`==` compares"),
        ("{#request.id", 12, "the end of the text stands where", "ends with `}`"),
        ("{#request.id == 'x}", 16, "does not end", "add a '"),
        ("{T(java.lang.Runtime).getRuntime()}", 3, "the type `java.lang.Runtime` is not carried", "`Math`"),
        ("{T(java.lang.Math).maxx(1, 2)}", 19, "`maxx` of the type `Math` is not carried", "did you mean `max`?"),
        ("{(new java.util.Date())}", 2, "cannot be made with `new`", "lists are written"),
        ("{(@bean.x)}", 2, "there are no beans", "roots"),
        ("{#request.id.lenght()}", 13, "the method `lenght` is not carried", "did you mean `length`?"),
        ("{#request.id.substring()}", 13, "`substring` takes 1 to 2 arguments, not 0", ""),
        ("{#request.headers.getFirstt('x')}", 18, "the method `getFirstt` is not carried", "did you mean `getFirst`?"),
        ("{#secrets.get(#request.id)}", 10, "is read when the API is deployed", "#secrets.get('/provider/path:key')"),
        ("{#secrets}", 1, "by a constant name", "#secrets.get('/provider/path:key')"),
        ("{#xpath(#request.content, '/a')}", 1, "`#xpath` is not carried", "`#jsonPath`"),
        ("{#request.xmlContent.a}", 10, "`xmlContent` is not carried", "`content`"),
        ("{#jsonpath(#request.content, '$.a')}", 1, "there is no function `#jsonpath`", "did you mean `jsonPath`?"),
        ("{#jsonPath(#request.content, '.a')}", 29, "a path begins with `$`", "see byte 0 of the path"),
        ("{#request.host matches '(?=x)'}", 23, "look-around", "linear time"),
        ("{#request.host matches #request.id}", 23, "must be a constant text", "deployed"),
        ("{(1 / 0)}", 4, "`/` by zero", ""),
        ("{(1 + {1, 2})}", 4, "`+` does not take a number on its left side and a list", ""),
        ("{(99999999999999999999)}", 2, "the number is too large", ""),
        ("{#request.headers[1]}", 18, "a name is a text, not a number", ""),
        ("{#request.id + request.id}", 15, "`request` is not known", "did you mean `#request`?"),
        ("{#this}", 1, "`#this` is not known here", "inside of"),
        ("{#dictionaries['a']}", 1, "a dictionary is no value by itself", "#dictionaries['id']['key']"),
        ("{#request.id instanceof T(String)}", 13, "`instanceof` stands where", "no types"),
    ];
    for (text, at, message, hint) in table {
        let problem = Template::compile(text, &Vocabulary::request()).expect_err(text);
        assert_eq!(problem.at, at, "{text}: {problem}");
        assert!(problem.message.contains(message), "{text}: {problem}");
        assert!(problem.hint.as_deref().unwrap_or_default().contains(hint), "{text}: {problem}");
    }
}

#[test]
fn the_phase_decides_what_exists() {
    let compiles = |text: &str, vocabulary: Vocabulary| Template::compile(text, &vocabulary).is_ok();
    assert!(compiles("{#response.status}", Vocabulary::response()));
    assert!(compiles("{#message.id}", Vocabulary::message()));
    assert!(!compiles("{#request.id}", Vocabulary::deployment()));
    assert!(!compiles("{#request.id}", Vocabulary::request().without(ringway_expression::Root::Request)));
}
