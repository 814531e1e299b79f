//! What a program may not do. In: the text of a program. Out: what is known of it before it runs, or a [`Fault`].
//!
//! A program runs in the path of every event, on what anybody may have sent. So an event must not be able to say how
//! long it runs or how much memory it takes, beyond going over what is there: no definition calls itself, nothing is
//! repeated until a condition holds, no value grows with each step of a loop (`reduce`), no text is repeated, no place
//! is made that the event names. And it must not tell: `error` takes a sentence that is written out, never one that
//! holds a part of the event. How often the program itself goes over an event, and loops in loops, are its author's.

use std::collections::BTreeSet;

use jaq_core::{
    load::{
        lex::StrPart,
        parse::{BinaryOp, Def, Term},
    },
    ops::Math,
};

use super::{
    compiled,
    faults::Fault,
    members::MEMBER,
    terms::{parsed, visit},
};

/// Words with which an event could say how long a program runs or how much it takes, by name and number of arguments.
/// (Those for each match of a regular expression take memory for each rest of the text.)
const UNBOUNDED: [(&str, usize); 25] = [
    ("range", 1),
    ("range", 2),
    ("range", 3),
    ("repeat", 1),
    ("recurse", 1),
    ("recurse", 2),
    ("while", 2),
    ("until", 2),
    ("combinations", 0),
    ("combinations", 1),
    ("limit", 2),
    ("transpose", 0),
    ("walk", 1),
    ("setpath", 2),
    ("getpath", 1),
    ("delpaths", 1),
    ("gsub", 2),
    ("gsub", 3),
    ("sub", 3),
    ("scan", 1),
    ("scan", 2),
    ("match", 2),
    ("splits", 1),
    ("splits", 2),
    ("split", 2),
];

/// Words whose second argument are flags of a regular expression.
const WITH_FLAGS: [&str; 2] = ["test", "capture"];

/// Words that give a number or fail.
const NUMERIC: [&str; 6] = ["tonumber", "floor", "ceil", "round", "length", "utf8bytelength"];

/// What is known of a program before it runs.
#[derive(Default)]
pub(super) struct Read {
    /// The arguments of `error`.
    pub(super) sentences: Vec<String>,
}

/// Reads a program and judges it.
pub(super) fn read(text: &str) -> Result<Read, Fault> {
    let mut read = Read::default();
    // What has no syntax at all is for the loader to say; what it takes all the same begins with a directive.
    let Some(term) = parsed(text) else { return compiled(text).and(Err(Fault::at(text, text, DIRECTIVE))) };
    let mut fault = None;
    visit(&term, &mut |term| {
        if fault.is_none() {
            fault = judge(text, term, &mut read).err();
        }
    });
    fault.map_or(Ok(read), Err)
}

/// Whether a definition calls nothing but itself, its own parts, and `known`.
pub(super) fn calls_only(def: &Def<&str>, known: &BTreeSet<(String, usize)>) -> bool {
    let mut own: BTreeSet<(String, usize)> = [(def.name.to_owned(), def.args.len())].into();
    own.extend(def.args.iter().map(|name| ((*name).to_owned(), 0)));
    visit(&def.body, &mut |term| {
        if let Term::Def(defs, _) = term {
            own.extend(defs.iter().map(|def| (def.name.to_owned(), def.args.len())));
            own.extend(defs.iter().flat_map(|def| &def.args).map(|name| ((*name).to_owned(), 0)));
        }
    });
    let mut is_known = true;
    visit(&def.body, &mut |term| {
        if let Term::Call(name, arguments) = term {
            let call = ((*name).to_owned(), arguments.len());
            is_known &= known.contains(&call) || own.contains(&call) || *name == "!empty";
        }
    });
    is_known
}

fn judge(text: &str, term: &Term<&str>, read: &mut Read) -> Result<(), Fault> {
    match term {
        Term::Def(defs, _) => defs.iter().try_for_each(|def| ends(text, def)),
        Term::Call(name, arguments) => call(text, name, arguments, read),
        Term::Fold(word, ..) => Err(Fault::at(text, word, FOLDED)),
        Term::BinOp(left, BinaryOp::Update, _) if is_everywhere(left) => {
            Err(Fault::at(text, first_text(left).unwrap_or(text), EVERYWHERE))
        }
        Term::BinOp(left, BinaryOp::Math(Math::Mul), right)
            if !(is_object(left) || is_object(right) || is_number(left) && is_number(right)) =>
        {
            Err(Fault::at(text, first_text(left).unwrap_or(text), MULTIPLIED))
        }
        Term::BinOp(left, BinaryOp::UpdateMath(Math::Mul), right) if !is_object(right) => {
            Err(Fault::at(text, first_text(left).unwrap_or(text), MULTIPLIED))
        }
        _ => Ok(()),
    }
}

const DIRECTIVE: &str = "module, import and include are not available: a program is one text";

const FOLDED: &str = "reduce and foreach are not available: what they keep can double with each step. Use map, add, any, \
                      all, group_by";

const EVERYWHERE: &str =
    "`.. |= …` is not available: what it makes can double with each level. Name the place";

const MULTIPLIED: &str = "* is for numbers, such as (.a | tonumber) * 1000, or has an object written out beside it: a \
                          text would be repeated";

fn is_object(term: &Term<&str>) -> bool {
    matches!(term, Term::Obj(_))
}

/// Whether the term can be nothing but a number.
fn is_number(term: &Term<&str>) -> bool {
    match term {
        Term::Num(_) => true,
        Term::Call(name, arguments) => arguments.is_empty() && NUMERIC.contains(name),
        Term::BinOp(_, BinaryOp::Pipe(_), last) => is_number(last),
        _ => false,
    }
}

/// Whether a path goes to every place there is.
fn is_everywhere(term: &Term<&str>) -> bool {
    let mut is_everywhere = false;
    visit(term, &mut |term| {
        is_everywhere |= matches!(term, Term::Recurse) || matches!(term, Term::Call("recurse", _));
    });
    is_everywhere
}

/// A definition that calls itself may never end.
fn ends(text: &str, def: &Def<&str>) -> Result<(), Fault> {
    let mut is_recursive = false;
    visit(&def.body, &mut |term| {
        is_recursive |= matches!(term, Term::Call(name, arguments)
            if *name == def.name && arguments.len() == def.args.len());
    });
    if is_recursive {
        let what = format!("{} calls itself: a program must always end", def.name);
        return Err(Fault::at(text, def.name, what));
    }
    Ok(())
}

fn call(text: &str, name: &str, arguments: &[Term<&str>], read: &mut Read) -> Result<(), Fault> {
    if name == MEMBER {
        return Err(Fault::at(text, name, "this word is not for programs"));
    }
    if UNBOUNDED.contains(&(name, arguments.len())) {
        let what = format!(
            "{name} is not available: with it an event could say how long a program runs, or how much it takes"
        );
        return Err(Fault::at(text, name, what));
    }
    if let (true, [_, flags]) = (WITH_FLAGS.contains(&name), arguments)
        && !is_text_without(flags, 'g')
    {
        let what = format!("the flags of {name} are written out, and g is not among them");
        return Err(Fault::at(text, name, what));
    }
    if name != "error" {
        return Ok(());
    }
    match arguments {
        [Term::Str(None, parts)] => match parts.as_slice() {
            [StrPart::Str(sentence)] => {
                read.sentences.push((*sentence).to_owned());
                Ok(())
            }
            _ => Err(Fault::at(text, name, ERROR)),
        },
        _ => Err(Fault::at(text, name, ERROR)),
    }
}

fn is_text_without(term: &Term<&str>, character: char) -> bool {
    match term {
        Term::Str(None, parts) => {
            parts.iter().all(|part| matches!(part, StrPart::Str(text) if !text.contains(character)))
        }
        _ => false,
    }
}

const ERROR: &str = "error needs one sentence written out, such as error(\"created is absent\"): it goes into logs and \
                     letters, where no part of an event may be";

/// Some text of the term, to tell where it is.
fn first_text<'a>(term: &Term<&'a str>) -> Option<&'a str> {
    let mut found = None;
    visit(term, &mut |term| {
        let text = match term {
            Term::Num(text) | Term::Var(text) | Term::Call(text, _) => Some(*text),
            Term::Str(_, parts) => parts.iter().find_map(|part| match part {
                StrPart::Str(text) => Some(*text),
                _ => None,
            }),
            _ => None,
        };
        found = found.or(text);
    });
    found
}
