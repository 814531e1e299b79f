//! How far a shard is done while its records are settled in any order. In: records as they are read, and as they are
//! settled. Out: the last of the unbroken row of settled ones, which is what a checkpoint may say. Pure.

use std::collections::VecDeque;

use super::position::Position;

/// The records of one shard that were read and do not all lie behind the checkpoint.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Progress {
    /// The number of the first of `open`.
    first: u64,
    /// In the order read, from the first that is not settled on.
    open: VecDeque<Open>,
    done: Option<Position>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Open {
    position: Position,
    is_settled: bool,
}

impl Progress {
    /// The next record was read; its number.
    pub fn read(&mut self, position: Position) -> u64 {
        self.open.push_back(Open { position, is_settled: false });
        self.first + self.open.len() as u64 - 1
    }

    /// The record with this number is done with.
    pub fn settle(&mut self, number: u64) {
        let at = number.checked_sub(self.first).and_then(|at| usize::try_from(at).ok());
        if let Some(open) = at.and_then(|at| self.open.get_mut(at)) {
            open.is_settled = true;
        }
        while let Some(open) = self.open.pop_front_if(|open| open.is_settled) {
            self.done = Some(open.position);
            self.first += 1;
        }
    }

    /// Everything that was read up to here, and this, is settled. `None`: not even the first.
    pub fn done(&self) -> Option<&Position> {
        self.done.as_ref()
    }

    /// Records read that are not behind the checkpoint: they are not settled, or stand behind one that is not.
    pub fn open(&self) -> usize {
        self.open.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::receive::kinesis::position::SequenceNumber;

    fn position(number: u64) -> Position {
        Position { sequence: SequenceNumber::parse(&number.to_string()).unwrap(), sub: 0 }
    }

    #[test]
    fn only_the_unbroken_row_from_the_start_is_done() {
        let mut progress = Progress::default();
        let numbers: Vec<_> = (10..14).map(|number| progress.read(position(number))).collect();
        assert_eq!(progress.done(), None);
        progress.settle(numbers[1]);
        progress.settle(numbers[2]);
        assert_eq!(progress.done(), None, "the first is open");
        progress.settle(numbers[0]);
        assert_eq!(progress.done(), Some(&position(12)));
        assert_eq!(progress.open(), 1);
        progress.settle(numbers[0]);
        progress.settle(99);
        assert_eq!((progress.done(), progress.open()), (Some(&position(12)), 1), "nothing is settled twice");
        progress.settle(numbers[3]);
        let next = progress.read(position(20));
        progress.settle(next);
        assert_eq!((progress.done(), progress.open()), (Some(&position(20)), 0));
    }
}
