//! What a program may not do. In: the text of a program. Out: what is known of it before it runs, or a [`Fault`].
//!
//! A program runs in the path of every event, on what anybody may have sent. So it must end, in memory that stays in
//! proportion: no definition calls itself, no word goes on until a condition holds, `*` repeats a text only as often as
//! the program itself says. And it must not tell: `error` takes a sentence that is written out, never one that holds
//! a part of the event.

use std::collections::BTreeSet;

use jaq_core::{
    load::{
        lex::StrPart,
        parse::{BinaryOp, Def, Term},
    },
    ops::Math,
};

use super::{
    faults::Fault,
    members::MEMBER,
    terms::{parsed, visit},
};

/// Words that can go on for ever, or for as long as an event says, by name and number of arguments.
const UNBOUNDED: [(&str, usize); 12] = [
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
];

/// What is known of a program before it runs.
#[derive(Default)]
pub(super) struct Read {
    /// The arguments of `error`.
    pub(super) sentences: Vec<String>,
}

/// Reads a program and judges it.
pub(super) fn read(text: &str) -> Result<Read, Fault> {
    let mut read = Read::default();
    let Some(term) = parsed(text) else {
        // The loader will say what is wrong.
        return Ok(read);
    };
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
        Term::BinOp(left, BinaryOp::Math(Math::Mul), right) if !is_written(left) && !is_written(right) => {
            Err(Fault::at(text, first_text(left).unwrap_or(text), MULTIPLIED))
        }
        Term::BinOp(left, BinaryOp::UpdateMath(Math::Mul), right) if !is_written(right) => {
            Err(Fault::at(text, first_text(left).unwrap_or(text), MULTIPLIED))
        }
        _ => Ok(()),
    }
}

const MULTIPLIED: &str = "* needs a number or an object written out beside it: otherwise an event could say how often \
                          a text is repeated";

fn is_written(term: &Term<&str>) -> bool {
    matches!(term, Term::Num(_) | Term::Obj(_))
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
        let what = format!("{name} is not available: it could go on for as long as an event says");
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
