//! A directory whose description changes while it is in force.

use std::task::{Context, Poll, Waker};

use bytes::BytesMut;
use ringway_contract::dial::{Dialling, Reading, Writing};
use ringway_contract::dictionaries::{Dictionary, Entries};
use ringway_contract::{ApiInfo, ByteStream, Client, Dictionaries, Request};

use super::ber::{ENUMERATED, INTEGER, OCTETS, Reader, SEQUENCE, nest, number, put};
use super::*;

/// What directories were asked, in the order in which it was.
type Asked = Rc<RefCell<Vec<String>>>;

/// Lets everybody in by every password, and knows an entry of every name.
struct Knowing {
    asked: Asked,
    answers: RefCell<BytesMut>,
}

impl ByteStream for Knowing {
    fn read(&self, mut buffer: BytesMut) -> Reading<'_> {
        let answers = self.answers.borrow_mut().split();
        buffer.extend_from_slice(&answers);
        Box::pin(std::future::ready((Ok(answers.len()), buffer)))
    }

    fn write(&self, message: BytesMut) -> Writing<'_> {
        let mut outer = Reader(Reader(&message).expect(SEQUENCE).unwrap());
        let id = outer.number(INTEGER).unwrap();
        let (operation, content) = outer.next().unwrap();
        let mut inner = Reader(content);
        let mut out = Vec::new();
        let mut answer = |kind, fill: &dyn Fn(&mut Vec<u8>)| {
            nest(&mut out, SEQUENCE, |out| {
                number(out, INTEGER, id);
                nest(out, kind, fill);
            });
        };
        let done = |out: &mut Vec<u8>| {
            number(out, ENUMERATED, 0);
            put(out, OCTETS, b"");
            put(out, OCTETS, b"");
        };
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        if operation == 0x60 {
            inner.number(INTEGER).unwrap();
            let (name, (_, password)) = (inner.expect(OCTETS).unwrap(), inner.next().unwrap());
            self.asked.borrow_mut().push(format!("bind {} {}", text(name), text(password)));
            answer(0x61, &done);
        } else {
            let base = text(inner.expect(OCTETS).unwrap());
            answer(0x64, &|out| {
                put(out, OCTETS, format!("uid=ada,{base}").as_bytes());
                nest(out, SEQUENCE, |_| {});
            });
            answer(0x65, &done);
            self.asked.borrow_mut().push(format!("search {base}"));
        }
        self.answers.borrow_mut().extend_from_slice(&out);
        Box::pin(std::future::ready(Ok(())))
    }

    fn secured(self: Rc<Self>, _: &ringway_contract::Remote) -> Dialling {
        Box::pin(std::future::ready(Err(io::ErrorKind::Unsupported.into())))
    }
}

struct Dialing(Asked);

impl Dial for Dialing {
    fn check(&self, _: &ringway_contract::Remote) -> Result<(), Refusal> {
        Ok(())
    }

    fn dial(&self, remote: &ringway_contract::Remote) -> Dialling {
        self.0.borrow_mut().push(format!("dial {}:{}", remote.host, remote.port));
        let stream = Knowing { asked: self.0.clone(), answers: RefCell::default() };
        Box::pin(std::future::ready(Ok(Rc::new(stream) as Rc<dyn ByteStream>)))
    }
}

fn entries(pairs: &[(&str, &str)]) -> Entries {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

/// The verdict on ada, and what directories were asked for it.
fn ask(directory: &Directory, exchange: &Exchange, asked: &Asked) -> (Verdict, Vec<String>) {
    let credentials = Credentials { name: "ada".into(), password: "engine".into() };
    let verdict = directory.knows(exchange, &credentials).unwrap_or_else(|| {
        let mut asking = directory.ask(exchange, &credentials);
        match asking.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(verdict) => verdict,
            Poll::Pending => panic!("it waits"),
        }
    });
    (verdict, asked.take())
}

#[test]
fn a_dictionary_says_which_directory_is_asked() {
    let shared = std::sync::Arc::new(Dictionary::new(entries(&[
        ("host", "one"),
        ("base", "dc=one"),
        ("user", "cn=reader"),
        ("password", "first"),
    ])));
    let dictionaries = Dictionaries::default();
    dictionaries.put([("ldap".to_owned(), shared.clone())]);
    let node = Node::parse_json(
        "a.json",
        r##"{"contextSourceUrl": "ldap://{#dictionaries['ldap']['host']}:389", "contextSourceBase": "{#dictionaries['ldap']['base']}",
            "contextSourceUsername": "{#dictionaries['ldap']['user']}", "contextSourcePassword": "{#dictionaries['ldap']['password']}"}"##,
    );
    let node = node.unwrap();
    assert!(check(&node).is_empty(), "{:?}", check(&node));
    let asked = Asked::default();
    let services = Services {
        dial: Some(Rc::new(Dialing(asked.clone()))),
        shards: 1,
        sleep: |_| Box::pin(std::future::pending()),
        ..Services::default()
    };
    let directory = Directory::new(Some(&node), &services).unwrap();
    let api = ApiInfo { dictionaries, ..ApiInfo::default() };
    let client = Client { address: None, tls: false, certificate: None };
    let exchange = Exchange::new(Box::<Request>::default(), Rc::new(api), Rc::default(), client);
    let known = |base: &str| {
        let name = format!("uid=ada,{base}");
        Verdict::Known(User { name, roles: None, attributes: Vec::new() })
    };

    let (verdict, first) = ask(&directory, &exchange, &asked);
    assert_eq!(verdict, known("dc=one"));
    let wanted =
        ["dial one:389", "bind cn=reader first", "search dc=one", "dial one:389", "bind uid=ada,dc=one engine"];
    assert_eq!(first, wanted);
    assert_eq!(ask(&directory, &exchange, &asked), (known("dc=one"), Vec::new()), "it is remembered");

    // Another password of the gateway's own: what was right by the other is asked for again, on connections of its own.
    shared.replace(entries(&[("host", "two"), ("base", "dc=two"), ("user", "cn=reader"), ("password", "second")]));
    let (verdict, second) = ask(&directory, &exchange, &asked);
    assert_eq!(verdict, known("dc=two"));
    assert_eq!(second.first().map(String::as_str), Some("dial two:389"));
    assert_eq!(second.get(1).map(String::as_str), Some("bind cn=reader second"));

    // What is not there is not left out: all of the directory would be another base.
    for less in [
        &[("host", "two"), ("user", "cn=reader"), ("password", "second")][..],
        &[("host", "two"), ("base", "dc=two"), ("user", "cn=reader"), ("password", "")],
        &[("host", "a b"), ("base", "dc=two"), ("user", "cn=reader"), ("password", "second")],
        &[],
    ] {
        shared.replace(entries(less));
        assert_eq!(ask(&directory, &exchange, &asked), (Verdict::Away, Vec::new()), "{less:?}");
    }
}

#[test]
fn what_an_expression_stands_for_is_taken_for_right_and_all_else_is_examined() {
    let problems = |json: &str| {
        let node = Node::parse_json("a.json", json).unwrap();
        check(&node).iter().map(|problem| format!("{}: {}", problem.pointer, problem.message)).collect::<Vec<_>>()
    };
    let url = r##""contextSourceUrl": "{#dictionaries['ldap']['url']}""##;
    assert_eq!(problems(&format!("{{{url}}}")), [""; 0]);
    assert_eq!(problems(&format!(r#"{{{url}, "useStartTLS": true}}"#)), [""; 0]);
    for (more, wanted) in [
        (r##""userSearchFilter": "(uid={0}""##, "userSearchFilter: `)` is missing"),
        (r##""userSearchBase": "{#request.path}""##, "userSearchBase: "),
        (r##""contextSourceUsername": "{#dictionaries['ldap']['user']}""##, "contextSourcePassword: it is empty"),
        (
            r##""userSearchFilter": "(uid={#secrets.get(#api.id)})""##,
            "userSearchFilter: at byte 15: a secret is read when the API is deployed",
        ),
    ] {
        let told = problems(&format!("{{{url}, {more}}}"));
        assert!(matches!(&*told, [only] if only.starts_with(wanted)), "{told:?}");
    }
}
