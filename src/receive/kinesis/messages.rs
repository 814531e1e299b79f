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
}

impl Place<'_> {
    /// The messages of one record, in their order.
    pub(super) fn parts(&self, record: Record) -> Vec<Part> {
        let Record { sequence, data, partition_key, arrived } = record;
        let part = |sub: u64, data: Bytes, partition_key: Option<Arc<str>>| {
            let position = Position { sequence: sequence.clone(), sub };
            let message = self.message(&position, data, partition_key, arrived);
            Part { position, message }
        };
        match user_records(&data, &self.hash_keys) {
            None => vec![part(0, data, partition_key.map(Into::into))],
            Some(users) => {
                let key = |key: Bytes| String::from_utf8(key.into()).ok().map(Into::into);
                let parts = users.into_iter().zip(0..);
                parts.map(|(user, sub)| part(sub, user.data, user.partition_key.and_then(key))).collect()
            }
        }
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
