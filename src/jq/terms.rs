//! A walk over the syntax of a program. In: its text. Out: its terms, and the keys of the objects that it builds.

use jaq_core::{
    load::{
        Lexer, Parser,
        lex::StrPart,
        parse::{BinaryOp, Pattern, Term},
    },
    path::Part,
};

use super::faults::Fault;

/// A key of an object that a program builds, and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectKey {
    /// The keys from the outermost object to this one.
    pub path: Vec<String>,
    /// From 1.
    pub line: usize,
}

/// The program's syntax; `None` where it has none.
pub(super) fn parsed(text: &str) -> Option<Term<&str>> {
    let tokens = Lexer::new(text).lex().ok()?;
    Parser::new(&tokens).parse(Parser::term).ok()
}

/// The keys of all objects that the program builds.
pub fn object_keys(text: &str) -> Vec<ObjectKey> {
    let mut keys = Vec::new();
    if let Some(term) = parsed(text) {
        visit_objects(&term, &mut Vec::new(), &mut |path, key| {
            let line = Fault::at(text, key, "").line;
            keys.push(ObjectKey { path: path.iter().map(|key| (*key).to_owned()).collect(), line });
        });
    }
    keys
}

/// Each term below `term`, and itself, outermost first.
pub(super) fn visit<'a, 'b>(term: &'b Term<&'a str>, see: &mut dyn FnMut(&'b Term<&'a str>)) {
    see(term);
    children(term, &mut |child| visit(child, see));
}

/// As [`visit`] for the keys of objects, with the keys around each.
fn visit_objects<'a>(
    term: &Term<&'a str>,
    path: &mut Vec<&'a str>,
    see: &mut dyn FnMut(&[&'a str], &'a str),
) {
    let Term::Obj(members) = term else {
        return children(term, &mut |child| visit_objects(child, path, see));
    };
    for (key, value) in members {
        let Some(name) = key_text(key) else { continue };
        path.push(name);
        see(path, name);
        if let Some(value) = value {
            visit_objects(value, path, see);
        }
        path.pop();
    }
}

fn key_text<'a>(key: &Term<&'a str>) -> Option<&'a str> {
    match key {
        Term::Str(None, parts) => match parts.as_slice() {
            [StrPart::Str(text)] => Some(*text),
            _ => None,
        },
        Term::Call(name, arguments) if arguments.is_empty() => Some(name),
        Term::Var(name) => name.strip_prefix('$'),
        _ => None,
    }
}

fn children<'a, 'b>(term: &'b Term<&'a str>, see: &mut dyn FnMut(&'b Term<&'a str>)) {
    match term {
        Term::Id | Term::Recurse | Term::Num(_) | Term::Arr(None) | Term::Break(_) | Term::Var(_) => {}
        Term::Str(_, parts) => parts.iter().for_each(|part| {
            if let StrPart::Term(term) = part {
                see(term);
            }
        }),
        Term::Arr(Some(inner)) | Term::Neg(inner) | Term::Label(_, inner) => see(inner),
        Term::Obj(members) => members.iter().for_each(|(key, value)| {
            see(key);
            value.iter().for_each(&mut *see);
        }),
        Term::BinOp(left, operator, right) => {
            see(left);
            if let BinaryOp::Pipe(Some(pattern)) = operator {
                in_pattern(pattern, see);
            }
            see(right);
        }
        Term::Fold(_, over, pattern, parts) => {
            see(over);
            in_pattern(pattern, see);
            parts.iter().for_each(see);
        }
        Term::TryCatch(tried, caught) => {
            see(tried);
            if let Some(caught) = caught {
                see(caught);
            }
        }
        Term::IfThenElse(cases, otherwise) => {
            for (condition, then) in cases {
                see(condition);
                see(then);
            }
            if let Some(otherwise) = otherwise {
                see(otherwise);
            }
        }
        Term::Def(defs, rest) => {
            for def in defs {
                see(&def.body);
            }
            see(rest);
        }
        Term::Call(_, arguments) => arguments.iter().for_each(see),
        Term::Path(of, path) => {
            see(of);
            for (part, _) in &path.0 {
                match part {
                    Part::Index(index) => see(index),
                    Part::Range(from, to) => from.iter().chain(to).for_each(&mut *see),
                }
            }
        }
    }
}

fn in_pattern<'a, 'b>(pattern: &'b Pattern<&'a str>, see: &mut dyn FnMut(&'b Term<&'a str>)) {
    match pattern {
        Pattern::Var(_) => {}
        Pattern::Arr(inner) => inner.iter().for_each(|pattern| in_pattern(pattern, see)),
        Pattern::Obj(members) => members.iter().for_each(|(key, pattern)| {
            see(key);
            in_pattern(pattern, see);
        }),
    }
}
