use std::sync::LazyLock;

use super::*;

fn input(json: &str) -> Input<'static> {
    static ABOUT: LazyLock<About> = LazyLock::new(About::default);
    Input::new(&json.into(), &ABOUT, "f")
}

fn run(text: &str, json: &str) -> String {
    let program = Program::compile(text).unwrap_or_else(|fault| panic!("{text}: {fault}"));
    program.json(&input(json)).map_or_else(|error| error.in_full, |json| json.unwrap_or_default().to_string())
}

fn fault(text: &str) -> String {
    Program::compile(text).map_or_else(|fault| fault.to_string(), |_| "none".into())
}

#[test]
fn jq_works_as_its_users_know_it() {
    for (text, json, expected) in [
        (".a.b // \"none\"", r#"{"a":{}}"#, "\"none\""),
        ("[.a[] | select(. > 1)]", r#"{"a":[1,2,3]}"#, "[2,3]"),
        ("with_entries(select(.key != \"x\"))", r#"{"x":1,"y":2}"#, r#"{"y":2}"#),
        (
            "[.[] | .Key as $k | {($k): .Value}] | add",
            r#"[{"Key":"a","Value":1},{"Key":"b","Value":2}]"#,
            r#"{"a":1,"b":2}"#,
        ),
        (".a | test(\"^x\"; \"i\")", r#"{"a":"Xy"}"#, "true"),
        ("[paths]", r#"{"a":[1]}"#, r#"[["a"],["a",0]]"#),
        ("[.. | numbers]", r#"{"a":[1,{"b":2}]}"#, "[1,2]"),
        ("del(.a)", r#"{"a":1,"b":2}"#, r#"{"b":2}"#),
        (".a | @base64d", r#"{"a":"aGk="}"#, "\"hi\""),
        ("$format + $message.source", "{}", "\"f\""),
        (".a | add", r#"{"a":[1,2]}"#, "3"),
        (".a | fromjson | .b", r#"{"a":"{\"b\":1}"}"#, "1"),
        ("(.a | tonumber) * 1000", r#"{"a":"2"}"#, "2000"),
        ("try error(\"no\") catch .", "{}", "\"no\""),
        ("def f($x): {x: $x}; f(.a)", r#"{"a":1}"#, r#"{"x":1}"#),
    ] {
        assert_eq!(run(text, json), expected, "{text}");
    }
}

#[test]
fn numbers_keep_their_digits_and_texts_their_characters() {
    for json in [
        r#"{"a":12345678901234567890123,"b":0.10,"c":1E400,"d":-1.50}"#,
        r#"{"a":"é \u0000 \" \\ 😀","b":""}"#,
    ] {
        let value: serde_json::Value = serde_json::from_str(&run(".", json).replace("1E400", "1")).unwrap();
        assert_eq!(value, serde_json::from_str::<serde_json::Value>(&json.replace("1E400", "1")).unwrap());
    }
    assert!(run(".", r#"{"a":12345678901234567890123,"b":0.10}"#).contains("12345678901234567890123"));
    assert!(run(".", r#"{"b":0.10}"#).contains("0.10"));
}

#[test]
fn what_could_go_on_for_ever_or_look_outside_is_refused_with_its_place() {
    for (text, expected) in [
        ("def f: [f]; f", "line 1, column 5: f calls itself"),
        ("def g: 1;\ndef f(x): if x then f(x) else 1 end; f(.)", "line 2, column 5: f calls itself"),
        ("[range(.n)]", "line 1, column 2: range is not available"),
        (".a |\n  until(. > 3; . + 1)", "line 2, column 3: until is not available"),
        ("repeat(1)", "line 1, column 1: repeat is not available"),
        ("[recurse(.a; . != null)]", "line 1, column 2: recurse is not available"),
        ("now", "line 1, column 1: now with 0 arguments is not defined"),
        ("env", "line 1, column 1: env with 0 arguments is not defined"),
        ("$ENV.HOME", "line 1, column 1: $ENV is not defined"),
        ("input", "line 1, column 1: input with 0 arguments is not defined"),
        (". | halt", "line 1, column 5: halt with 0 arguments is not defined"),
        ("debug", "line 1, column 1: debug with 0 arguments is not defined"),
        ("todate", "line 1, column 1: todate with 0 arguments is not defined"),
        (".a * .b", "* is for numbers"),
        (".a * 1000", "* is for numbers"),
        (".a *= 2", "* is for numbers"),
        ("reduce .a[] as $x (0; . + $x)", "line 1, column 1: reduce and foreach are not available"),
        ("[foreach .a[] as $x (0; .)]", "line 1, column 2: reduce and foreach are not available"),
        ("walk([., .])", "line 1, column 1: walk is not available"),
        (".. |= [., .]", "`.. |= …` is not available"),
        ("setpath(.p; 1)", "setpath is not available"),
        (".a | gsub(\" \"; \"-\")", "line 1, column 6: gsub is not available"),
        ("test(\"a\"; \"g\")", "the flags of test are written out"),
        ("test(\"a\"; .f)", "the flags of test are written out"),
        ("module {}; def f: f; f", "module, import and include are not available"),
        ("module {}; .", "module, import and include are not available"),
        ("error(.a)", "line 1, column 1: error needs one sentence"),
        ("error(\"x \\(.a)\")", "line 1, column 1: error needs one sentence"),
        (".a | error", "line 1, column 6: error needs one sentence"),
        ("import \"a\" as a; .", "import and include are not available"),
        (".a |", "expected term"),
        ("{a: }", "line 1, column 5: expected term"),
        ("if . then 1", "expected"),
        ("", "expected term"),
        (".a | nosuch(1)", "line 1, column 6: nosuch with 1 arguments is not defined"),
    ] {
        let said = fault(text);
        assert!(said.contains(expected), "{text:?}: {said}");
    }
}

#[test]
fn what_is_bounded_is_allowed() {
    for text in [
        "2 * 3",
        "(.a | floor) * 1000",
        ". * {a: 1}",
        ".a *= {b: 1}",
        "[..]",
        "[recurse]",
        "first(.a[])",
        "flatten",
    ] {
        assert_eq!(fault(text), "none", "{text}");
    }
}

#[test]
fn an_error_says_what_the_program_says_and_never_what_the_event_holds() {
    let secret = r#"{"a":"SECRET"}"#;
    let said = |text: &str| Program::compile(text).unwrap().json(&input(secret)).unwrap_err();
    let error = said("if .b then 1 else error(\"b is absent\") end");
    assert_eq!((error.rejection.reason, &*error.rejection.detail), (Reason::MappingFailed, "b is absent"));
    let error = said(".a.b");
    assert!(!error.rejection.detail.contains("SECRET") && error.in_full.contains("SECRET"));
    let error = said(".a | utc");
    assert_eq!(error.rejection.reason, Reason::BadTime);
}

#[test]
fn natives_read_times_addresses_texts_and_hashes() {
    for (text, json, expected) in [
        ("utc", "1700000000", "\"2023-11-14T22:13:20Z\""),
        ("utc", "\"2023-11-14T22:13:20.999Z\"", "\"2023-11-14T22:13:20Z\""),
        ("ip", "\"::1\"", "\"::1\""),
        ("ip", "\"AWS Internal\"", "null"),
        ("ip", "7", "null"),
        ("text", "\"\"", "null"),
        ("text", "\"a\"", "\"a\""),
        ("text", "1", "null"),
    ] {
        assert_eq!(run(text, json), expected, "{text} of {json}");
    }
    let of = |json: &str| run("sha256", json);
    assert_eq!(of(r#"{"a":1,"b":[2]}"#), of(r#"{"b":[2],"a":1}"#));
    assert_ne!(of(r#"{"a":1,"b":[2]}"#), of(r#"{"b":["2"],"a":1}"#));
}

#[test]
fn paths_are_those_of_the_event() {
    let program = Program::compile("path(.a[].secret?, .b)").unwrap();
    let paths = program.paths(&input(r#"{"a":[{"secret":1},{}],"b":2}"#)).unwrap();
    let key = |key: &str| Step::Key(key.into());
    assert_eq!(paths[0], [key("a"), Step::At(0), key("secret")]);
    assert_eq!(paths.last().unwrap(), &[key("b")]);
}

#[test]
fn the_keys_of_objects_are_found_with_their_lines() {
    let keys =
        object_keys("def event: {\n  version: \"1\",\n  userIdentity: {\n    type: .t\n  }\n};\nevent");
    let lines: Vec<_> = keys.iter().map(|key| (key.path.join("."), key.line)).collect();
    assert_eq!(
        lines,
        [("version".into(), 2), ("userIdentity".into(), 3), ("userIdentity.type".to_owned(), 4)]
    );
}

#[test]
fn members_looked_up_at_once_are_those_that_the_path_says() {
    let event = r#"{"a":{"b":{"c":1,"d":[{"e":2}]},"n":null,"s":"text"},"x y":3,"if":4}"#;
    for (text, paths) in [
        ("{v: .a.b.c}", 1),
        ("{v: .a.b.c, w: .a.b.c, x: .a.n.m}", 2),
        ("[.a.b.c, .nosuch.at.all]", 2),
        ("(.a.b | .c) == 1", 2),
        ("if.a.b.c then .a.n else .a.s end", 3),
        (".a.b.c // .a.s", 2),
        ("\"\\(.a.s)!\"", 1),
        (".a as $x | $x.b.c + .a.b.c", 2),
        ("{v: .a.s.t}", 1),
        ("try (.a.s.t) catch \"no\"", 1),
        ("{v: .a.s.t?}", 0),
        ("{v: .a.b.d[0].e}", 0),
        (".a.b.d[.a.b.c - 1].e", 1),
        ("{v: .\"x y\"}", 0),
        ("{v: .[\"a\"].b.c}", 0),
        (".a.b.c = 5", 0),
        (".a.b.c |= . + 1", 0),
        (".a.b.c += .a.b.c", 1),
        ("del(.a.b.c)", 0),
        ("[path(.a.b.c)]", 0),
        ("[paths(.a?)]", 0),
        ("def f: .a.b; [path(f)], f.c", 0),
        ("def f: {v: .a.b.c}; f", 1),
        ("[.a.b.d[] as $e | .a.b.c + $e.e]", 1),
        ("[.a.b.d[] | .e]", 1),
        ("{a: .a.s, if: .if}", 2),
        ("pick(.a.s)", 0),
        ("to_entries | map({k: .key})", 1),
    ] {
        let taken = members::take(text);
        assert_eq!(taken.paths.len(), paths, "{text}: {}", taken.text);
        let all = |filter: Filter<Data>, paths: &[Vec<Val>]| -> Vec<String> {
            let input = input(event);
            let tables = Tables { lut: &filter.lut, paths };
            let run = filter.id.run((Ctx::<Data>::new(tables, input.variables(true)), input.event.clone()));
            run.map(|value| {
                unwrap_valr(value).map_or_else(|error| error.to_string(), |value| value.to_string())
            })
            .collect()
        };
        let as_written = all(compiled(text).unwrap(), &[]);
        assert_eq!(all(compiled(&taken.text).unwrap(), &taken.paths), as_written, "{text}: {}", taken.text);
    }
    assert!(fault("tributary_member(0)").contains("not for programs"));
}

#[test]
fn an_event_is_read_as_the_interpreter_reads_it() {
    for json in [
        r#" { "a" : [ 1 , -0.50 , 1e5, 12345678901234567890123 , { } , [ ] ] , "b\u0041\n" : "\ud83d\ude00 é" , "c":null} "#,
        "true",
        "\"x\"",
        "[[[]],{\"a\":{\"b\":false}}]",
    ] {
        let theirs = jaq_json::read::parse_single(json.as_bytes()).unwrap();
        assert_eq!(value::of_json(&json.into()).to_string(), theirs.to_string());
    }
}

/// What would otherwise end the process: the stack, or all memory.
#[test]
fn no_event_makes_a_program_take_more_than_its_part() {
    let deep = serde_json::json!({ "s": "[".repeat(20_000) }).to_string();
    assert_eq!(run("try (.s | fromjson) catch .", &deep), "\"fromjson: no text that is one JSON value\"");
    let digits = format!("{{\"n\":{}}}", "9".repeat(1_000_000));
    assert_eq!(run(".n", &digits).len(), 1_000_000);
    let many = serde_json::json!({ "list": vec![1; 20_000], "text": "x".repeat(1_000) }).to_string();
    assert_eq!(run(". as $all | .list | map($all)", &many), TOO_LARGE);
}
