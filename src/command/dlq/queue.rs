//! The dead-letter queue itself. In: its URL. Out: its messages with everything that SQS tells of them, hidden for a while;
//! and the calls that hide them longer, give them back or delete them.

use std::{collections::HashMap, time::Duration};

use aws_sdk_sqs::{
    Client,
    types::{Message, MessageSystemAttributeName, QueueAttributeName as Name},
};
use serde_json::Value;
use tokio::time::sleep;

use crate::{
    aws::{Failure, failure, sqs::class_of},
    command::enqueue::queue::target,
    failure::CallError,
    intervals::Intervals,
    limits,
    receive::sqs::batches::{Call, Entry, in_batches},
};

/// What a look needs to be allowed to do.
const ACTIONS: &str =
    "sqs:ReceiveMessage, sqs:ChangeMessageVisibility, sqs:DeleteMessage and sqs:GetQueueAttributes";
/// Tries of one poll, those of the SDK inside each not counted.
const TRIES_MAX: u32 = 5;
/// Long enough that SQS asks all of its machines; an answer without messages then says that there are none.
const WAIT_SECONDS: i32 = 1;

/// The queue, and for how long what is received from it is hidden.
pub(super) struct DeadLetterQueue {
    pub(super) client: Client,
    pub(super) url: String,
    pub(super) hide_for: Duration,
}

/// What a queue says of itself; nothing, where the role may not ask.
#[derive(Default)]
pub(super) struct Facts {
    pub(super) visible: Option<u64>,
    pub(super) hidden: Option<u64>,
    pub(super) retention: Option<Duration>,
    /// After how many receives it moves letters on to yet another queue.
    pub(super) moves_on_after: Option<u64>,
}

impl DeadLetterQueue {
    pub(super) async fn open(url: String, hide_for: Duration) -> Self {
        let client = target(url.clone(), "").await.client;
        Self { client, url, hide_for }
    }

    pub(super) async fn facts(&self) -> Facts {
        let names = [
            Name::ApproximateNumberOfMessages,
            Name::ApproximateNumberOfMessagesNotVisible,
            Name::MessageRetentionPeriod,
            Name::RedrivePolicy,
        ];
        let call = self.client.get_queue_attributes().queue_url(&self.url);
        let answer = call.set_attribute_names(Some(names.to_vec())).send().await;
        let told: HashMap<_, _> = answer.ok().and_then(|answer| answer.attributes).unwrap_or_default();
        let number = |name: &Name| told.get(name)?.parse().ok();
        let policy: Value = told
            .get(&Name::RedrivePolicy)
            .and_then(|policy| serde_json::from_str(policy).ok())
            .unwrap_or_default();
        let receives = &policy["maxReceiveCount"];
        Facts {
            visible: number(&Name::ApproximateNumberOfMessages),
            hidden: number(&Name::ApproximateNumberOfMessagesNotVisible),
            retention: number(&Name::MessageRetentionPeriod).map(Duration::from_secs),
            moves_on_after: receives.as_u64().or_else(|| receives.as_str()?.parse().ok()),
        }
    }

    /// Some messages, or none where there are none that are not hidden.
    ///
    /// # Errors
    /// The queue cannot be received from, or has not answered in several tries.
    pub(super) async fn receive(&self) -> Result<Vec<Message>, CallError> {
        let mut intervals = Intervals::new(Duration::from_millis(100), Duration::from_secs(5));
        let mut tries = 1;
        loop {
            let failed = match self.receive_once().await {
                Ok(messages) => return Ok(messages),
                Err(failed) => class_of(failed, &self.url, ACTIONS),
            };
            if !failed.is_transient() || tries == TRIES_MAX {
                return Err(failed);
            }
            tries += 1;
            sleep(intervals.next_interval()).await;
        }
    }

    async fn receive_once(&self) -> Result<Vec<Message>, Failure> {
        let call = self
            .client
            .receive_message()
            .queue_url(&self.url)
            .max_number_of_messages(i32::try_from(limits::SQS_BATCH_MAX).unwrap_or(i32::MAX))
            .wait_time_seconds(WAIT_SECONDS)
            .visibility_timeout(i32::try_from(self.hide_for.as_secs()).unwrap_or(i32::MAX))
            .message_system_attribute_names(MessageSystemAttributeName::All)
            .message_attribute_names("All");
        let answer = call.send().await.map_err(|error| failure(&error))?;
        Ok(answer.messages.unwrap_or_default())
    }

    /// Hides messages for so long from now on; 0 gives them back. The ids of those for which that failed.
    pub(super) async fn hide(&self, handles: Vec<(String, String)>, seconds: u64) -> Vec<String> {
        self.all(Call::ChangeVisibility, handles, seconds).await
    }

    /// Deletes messages. The ids of those for which that failed: they are still there.
    pub(super) async fn delete(&self, handles: Vec<(String, String)>) -> Vec<String> {
        self.all(Call::Delete, handles, 0).await
    }

    async fn all(&self, call: Call, handles: Vec<(String, String)>, seconds: u64) -> Vec<String> {
        let entry = |(of, receipt_handle)| Entry { receipt_handle, seconds, of };
        let entries = handles.into_iter().map(entry).collect();
        let results = in_batches(&self.client, &self.url, call, entries).await;
        results.into_iter().filter(|(_, result)| result.is_err()).map(|(entry, _)| entry.of).collect()
    }

    /// As people call it.
    pub(super) fn name(&self) -> &str {
        self.url.rsplit('/').next().unwrap_or(&self.url)
    }
}
