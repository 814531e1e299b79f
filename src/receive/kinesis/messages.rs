//! From records to messages. In: a record of a shard. Out: one message, or one for each user record of an aggregate.
//! Pure.

use std::{ops::RangeInclusive, sync::Arc, time::SystemTime};

use bytes::Bytes;
use tokio::time::Instant;

use super::{api::Record, lease::ShardId, position::Position};
use crate::{
    aggregate::user_records,
    receive::{About, Deadline, Handle, Message},
};

/// A message with its place in the shard.
pub(super) struct Part {
    pub(super) position: Position,
    pub(super) message: Message,
}

/// Where records are read.
pub(super) struct Place<'a> {
    /// The stream's name.
    pub(super) source: &'a Arc<str>,
    pub(super) shard: &'a ShardId,
    /// The hash keys that belong to the shard.
    pub(super) hash_keys: RangeInclusive<u128>,
    /// Aggregates with user records of another shard are dropped (ADR 18).
    pub(super) drops_foreign: bool,
}

impl Place<'_> {
    /// The messages of one record, in their order; none of one that is dropped. Adds up how many are foreign.
    pub(super) fn parts(&self, record: Record, foreign: &mut u64) -> Vec<Part> {
        let Record { sequence, data, partition_key, arrived } = record;
        let part = |sub: u64, data: Bytes, partition_key: Option<Arc<str>>| {
            let position = Position { sequence: sequence.clone(), sub };
            let message = self.message(&position, data, partition_key, arrived);
            Part { position, message }
        };
        let Some(users) = user_records(&data, &self.hash_keys) else {
            return vec![part(0, data, partition_key.map(Into::into))];
        };
        let of_others = users.iter().filter(|user| user.is_foreign).count() as u64;
        *foreign += of_others;
        if self.drops_foreign && of_others > 0 {
            return Vec::new();
        }
        let key = |key: Bytes| String::from_utf8(key.into()).ok().map(Into::into);
        let parts = users.into_iter().zip(0..);
        // Copied: one that waits would hold on to the whole aggregate.
        let own = |data: Bytes| Bytes::copy_from_slice(&data);
        parts.map(|(user, sub)| part(sub, own(user.data), user.partition_key.and_then(key))).collect()
    }

    /// Not yet delivered; its deadline is set where the tenancy is known.
    fn message(
        &self,
        position: &Position,
        body: Bytes,
        partition_key: Option<Arc<str>>,
        sent_at: Option<SystemTime>,
    ) -> Message {
        let Self { source, shard, .. } = self;
        let about = About { source: (*source).clone(), group: partition_key, ..About::default() };
        Message {
            handle: Handle { message_id: format!("{source}/{shard}:{position}").into(), delivery: 0 },
            body,
            is_base64: false,
            attempt: 0,
            sent_at,
            deadline: Deadline::new(Instant::now()),
            // Messages of a group are settled one after the other, which is more than a shard promises.
            group: None,
            is_redriven: false,
            about: Arc::new(about),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        aggregate::tests::{HASH_OF_K, aggregate},
        receive::kinesis::position::SequenceNumber,
    };

    /// The names and keys of the messages of an aggregate of two, and how many of them are foreign.
    fn parts(hash_keys: RangeInclusive<u128>, drops_foreign: bool) -> (Vec<String>, u64) {
        let data = aggregate(&[b"1", b"2"]);
        let sequence = SequenceNumber::parse("7").unwrap();
        let record = Record { sequence, data, partition_key: Some("any".to_owned()), arrived: None };
        let (source, shard) = ("audit".into(), "shardId-0".into());
        let place = Place { source: &source, shard: &shard, hash_keys, drops_foreign };
        let mut foreign = 0;
        let parts = place.parts(record, &mut foreign).into_iter();
        let named = |part: Part| format!("{} {:?}", part.message.handle.message_id, part.message.about.group);
        (parts.map(named).collect(), foreign)
    }

    #[test]
    fn each_user_record_is_a_message_with_its_own_key_and_name() {
        let expected = ["audit/shardId-0:7 Some(\"k\")", "audit/shardId-0:7.1 Some(\"k\")"];
        let (parts, foreign) = parts(0..=u128::MAX, true);
        assert_eq!((foreign, parts), (0, expected.map(str::to_owned).to_vec()));
    }

    #[test]
    fn an_aggregate_with_foreign_records_is_delivered_or_dropped_as_the_operator_wants() {
        let others = 0..=HASH_OF_K - 1;
        let (delivered, foreign) = parts(others.clone(), false);
        assert_eq!((delivered.len(), foreign), (2, 2));
        let (dropped, foreign) = parts(others, true);
        assert_eq!((dropped.len(), foreign), (0, 2), "dropped, and counted");
    }
}
