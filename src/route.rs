//! A part of stage 3: which destinations an event goes to, and what of it is dropped on purpose.
//!
//! In: an identified event. Out: its destinations, and the proof for what a rule dropped.

/// Proof that a delivery ends here on purpose: a rule dropped it, or it was no event to begin with.
#[derive(Debug)]
pub struct Filtered(());

impl Filtered {
    /// What services send besides events has nowhere to go.
    pub(crate) fn notice() -> Self {
        Self(())
    }
}
