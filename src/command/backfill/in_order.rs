//! Calls end in any order, and a checkpoint may only move on over what has ended before it. In: what ended, by number.
//! Out: the same, in order. Pure.

use std::collections::BTreeMap;

/// Holds back what ended early.
#[derive(Debug)]
pub(super) struct InOrder<T> {
    next: u64,
    early: BTreeMap<u64, T>,
}

impl<T> InOrder<T> {
    /// The first number is 0.
    pub(super) fn new() -> Self {
        Self { next: 0, early: BTreeMap::new() }
    }

    /// Number `number` has ended: gives out what nothing is open before.
    pub(super) fn ended(&mut self, number: u64, what: T) -> Vec<T> {
        self.early.insert(number, what);
        let mut out = Vec::new();
        while let Some(what) = self.early.remove(&self.next) {
            self.next += 1;
            out.push(what);
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_comes_out_before_what_was_before_it() {
        let mut in_order = InOrder::new();
        assert!(in_order.ended(2, "c").is_empty());
        assert!(in_order.ended(1, "b").is_empty());
        assert_eq!(in_order.ended(0, "a"), ["a", "b", "c"]);
        assert_eq!(in_order.ended(3, "d"), ["d"]);
    }

    #[test]
    fn one_that_never_ends_holds_back_all_that_follows() {
        let mut in_order = InOrder::new();
        assert_eq!(in_order.ended(0, 0), [0]);
        assert!((2..100).all(|number| in_order.ended(number, number).is_empty()));
    }
}
