//! Where a consumer is in a shard: sequence numbers, and what a lease remembers of them. Pure.

use std::{cmp::Ordering, fmt, sync::Arc};

/// Longest sequence number, in digits (service model of Kinesis).
const DIGITS_MAX: usize = 129;

/// A record's place in its shard: a decimal number of up to 129 digits, ordered as a number and kept as text.
/// <https://docs.aws.amazon.com/kinesis/latest/APIReference/API_Record.html>
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct SequenceNumber(Arc<str>);

impl SequenceNumber {
    /// `None`: no number, or one with zeros in front, which would be another name for the same place.
    pub fn parse(text: &str) -> Option<Self> {
        let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let is_canonical = text == "0" || !text.starts_with('0');
        (is_number && is_canonical && text.len() <= DIGITS_MAX).then(|| Self(text.into()))
    }

    /// The digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Ord for SequenceNumber {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.len().cmp(&other.0.len()).then_with(|| self.0.cmp(&other.0))
    }
}

impl PartialOrd for SequenceNumber {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Debug for SequenceNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One record, or one user record of an aggregate: those share a sequence number and are counted from 0.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Position {
    /// Of the record as the stream has it.
    pub sequence: SequenceNumber,
    /// Which user record of it; 0 for a record that is no aggregate.
    pub sub: u64,
}

impl fmt::Display for Position {
    /// As message ids end: `<sequence>`, and `<sequence>.<sub>` from the second user record on.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.sub {
            0 => f.write_str(self.sequence.as_str()),
            sub => write!(f, "{}.{sub}", self.sequence.as_str()),
        }
    }
}

/// How far a shard is done, as its lease says.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Checkpoint {
    /// Nothing yet: start at the oldest record that there is.
    TrimHorizon,
    /// Nothing yet: start at what comes next. Of no meaning to a second reader; whoever reads first replaces it.
    Latest,
    /// Nothing yet: start at this time, in milliseconds since 1970; `None` where the time was kept elsewhere.
    AtTimestamp(Option<u64>),
    /// Everything up to this is settled, itself included.
    At(Position),
    /// Everything, and nothing more will come.
    ShardEnd,
}

impl Checkpoint {
    /// As the KCL writes it: <https://github.com/awslabs/amazon-kinesis-client>, `SentinelCheckpoint`.
    pub fn written(&self) -> (&str, u64) {
        match self {
            Self::TrimHorizon => ("TRIM_HORIZON", 0),
            Self::Latest => ("LATEST", 0),
            Self::AtTimestamp(_) => ("AT_TIMESTAMP", 0),
            Self::At(position) => (position.sequence.as_str(), position.sub),
            Self::ShardEnd => ("SHARD_END", 0),
        }
    }

    /// The reverse; `started_ms` is the time for `AT_TIMESTAMP`. `None`: nothing that the KCL or we would write.
    pub fn read(text: &str, sub: u64, started_ms: Option<u64>) -> Option<Self> {
        match text {
            "TRIM_HORIZON" => Some(Self::TrimHorizon),
            "LATEST" => Some(Self::Latest),
            "AT_TIMESTAMP" => Some(Self::AtTimestamp(started_ms)),
            "SHARD_END" => Some(Self::ShardEnd),
            digits => Some(Self::At(Position { sequence: SequenceNumber::parse(digits)?, sub })),
        }
    }
}

impl fmt::Display for Checkpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::At(position) => position.fmt(f),
            other => f.write_str(other.written().0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(text: &str) -> SequenceNumber {
        SequenceNumber::parse(text).unwrap()
    }

    #[test]
    fn sequence_numbers_are_ordered_as_numbers_whatever_their_length() {
        let ordered = [
            "0",
            "9",
            "10",
            "49590338271490256608559692538361571095921575989136588898",
            "49590338271490256608559692538361571095921575989136588899",
            "149590338271490256608559692538361571095921575989136588898",
        ];
        for pair in ordered.windows(2) {
            assert!(number(pair[0]) < number(pair[1]), "{pair:?}");
        }
    }

    #[test]
    fn what_is_no_sequence_number_is_none() {
        for text in ["", "-1", "007", "1.5", "one", "SHARD_END", &"1".repeat(130)] {
            assert_eq!(SequenceNumber::parse(text), None, "{text}");
        }
        assert!(SequenceNumber::parse(&"1".repeat(129)).is_some());
    }

    #[test]
    fn user_records_of_one_aggregate_are_ordered_by_their_place_in_it() {
        let at = |sequence: &str, sub| Position { sequence: number(sequence), sub };
        assert!(at("5", 9) < at("5", 10) && at("5", 10) < at("6", 0));
        assert_eq!((at("5", 0).to_string(), at("5", 3).to_string()), ("5".into(), "5.3".into()));
    }

    #[test]
    fn checkpoints_are_read_as_they_are_written() {
        let at = Checkpoint::At(Position { sequence: number("42"), sub: 7 });
        for checkpoint in [
            Checkpoint::TrimHorizon,
            Checkpoint::Latest,
            Checkpoint::AtTimestamp(Some(5)),
            at,
            Checkpoint::ShardEnd,
        ] {
            let (text, sub) = checkpoint.written();
            assert_eq!(Checkpoint::read(text, sub, Some(5)).as_ref(), Some(&checkpoint));
        }
        assert_eq!(Checkpoint::read("soon", 0, None), None);
    }
}
