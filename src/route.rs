//! A part of stage 3: which destinations an event goes to, and what of it is dropped on purpose.
//!
//! In: an identified event, and what came beside it. Out: for each destination whether the event goes there, and the
//! proof for what a rule dropped. A route lives on its destination: the name of one is the name of the other.

use std::cell::OnceCell;

use crate::{
    event::IdentifiedEvent,
    failure::{Reason, Rejection},
    jq::{Input, Program, RunError, Written},
    receive::About,
};

/// What one destination wants of the events. Nothing said: all of them.
#[derive(Clone, Debug, Default)]
pub struct Route {
    /// Only events of these formats. Asked first, because it costs nothing.
    pub formats: Option<Vec<String>>,
    /// Only events for which this is true.
    pub when: Option<Written>,
    /// Of those, none for which this is true: counted as filtered.
    pub drop: Option<Written>,
}

/// What becomes of an event that no destination wants.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Unmatched {
    /// A person has to look: nothing vanishes silently.
    #[default]
    DeadLetter,
    /// It is dropped and counted as filtered.
    Filter,
}

/// Where one destination's route leads an event.
#[derive(Debug)]
pub enum Way {
    /// To the destination.
    Here,
    /// The event is none of this destination's.
    Elsewhere,
    /// It would go here, and is dropped on purpose.
    Dropped(Filtered),
    /// A condition has no answer for this event: nobody can say whether it belongs here.
    Unknown(RunError),
}

/// One event, as routes ask about it. It is read once, when the first of them asks.
pub struct Asked<'a> {
    event: &'a IdentifiedEvent,
    about: &'a About,
    input: OnceCell<Input<'a>>,
}

/// Proof that a delivery ends here on purpose: a rule dropped it, or it was no event to begin with.
#[derive(Debug)]
pub struct Filtered(());

impl Filtered {
    /// What services send besides events has nowhere to go.
    pub(crate) fn notice() -> Self {
        Self(())
    }

    /// No destination wants the event, and the operator said that such events are to be dropped.
    pub(crate) fn unmatched() -> Self {
        Self(())
    }
}

impl<'a> Asked<'a> {
    /// To be asked about.
    pub fn new(event: &'a IdentifiedEvent, about: &'a About) -> Self {
        Self { event, about, input: OnceCell::new() }
    }

    fn format(&self) -> &str {
        self.event.format.name()
    }

    fn is_true(&self, program: &Program) -> Result<bool, RunError> {
        let input = self.input.get_or_init(|| Input::of(self.event, self.about));
        program.is_true(input)
    }
}

impl Route {
    /// Whether every event goes here, whatever it is.
    pub fn takes_all(&self) -> bool {
        self.formats.is_none() && self.when.is_none() && self.drop.is_none()
    }

    /// Where the event goes, as far as this destination is concerned.
    pub fn way(&self, asked: &Asked<'_>) -> Way {
        if self.formats.as_ref().is_some_and(|formats| !formats.iter().any(|name| name == asked.format())) {
            return Way::Elsewhere;
        }
        match self.when.as_ref().map(|when| asked.is_true(&when.program)) {
            None | Some(Ok(true)) => {}
            Some(Ok(false)) => return Way::Elsewhere,
            Some(Err(error)) => return Way::Unknown(failed("when", error)),
        }
        match self.drop.as_ref().map(|drop| asked.is_true(&drop.program)) {
            None | Some(Ok(false)) => Way::Here,
            Some(Ok(true)) => Way::Dropped(Filtered(())),
            Some(Err(error)) => Way::Unknown(failed("drop", error)),
        }
    }
}

fn failed(key: &str, error: RunError) -> RunError {
    error.of(Reason::RouteFailed, &format!("the condition `{key}` of this destination"))
}

/// No destination wants the event.
pub(crate) fn no_route() -> Rejection {
    let sentence = "no destination wants this event: add a route for it, or set routing.unmatched to filter";
    Rejection::new(Reason::NoRoute, sentence)
}

#[cfg(test)]
mod tests;
