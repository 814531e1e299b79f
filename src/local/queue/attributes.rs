//! The attributes of a queue. In: names and texts. Out: numbers within their bounds, or what SQS would say.
//! Source: <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SetQueueAttributes.html>.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::fault::{Code, Fault};
use crate::limits;

/// What can be set on a queue.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct QueueAttributes {
    pub(super) visibility_seconds: u64,
    pub(super) retention_seconds: u64,
    pub(super) message_bytes_max: u64,
    pub(super) wait_seconds: u64,
    pub(super) delay_seconds: u64,
    pub(super) redrive: Option<Redrive>,
}

/// Where a message goes that was received too often.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Redrive {
    /// ARN of the dead-letter queue.
    pub(super) target: String,
    /// A message that was received this often is not received again.
    pub(super) receives_max: u32,
}

impl Default for QueueAttributes {
    fn default() -> Self {
        Self {
            visibility_seconds: 30,
            retention_seconds: 345_600,
            message_bytes_max: limits::SQS_BYTES_MAX as u64,
            wait_seconds: 0,
            delay_seconds: 0,
            redrive: None,
        }
    }
}

impl QueueAttributes {
    /// Sets what is named, all or nothing.
    pub(super) fn set(&mut self, named: &BTreeMap<String, String>) -> Result<(), Fault> {
        let mut changed = self.clone();
        for (name, text) in named {
            changed.set_one(name, text)?;
        }
        *self = changed;
        Ok(())
    }

    fn set_one(&mut self, name: &str, text: &str) -> Result<(), Fault> {
        let (number, max, min) = match name {
            "VisibilityTimeout" => (&mut self.visibility_seconds, limits::SQS_VISIBILITY_SECONDS_MAX, 0),
            "MessageRetentionPeriod" => (&mut self.retention_seconds, 1_209_600, 60),
            "MaximumMessageSize" => (&mut self.message_bytes_max, limits::SQS_BYTES_MAX as u64, 1024),
            "ReceiveMessageWaitTimeSeconds" => (&mut self.wait_seconds, limits::SQS_WAIT_SECONDS_MAX, 0),
            "DelaySeconds" => (&mut self.delay_seconds, 900, 0),
            "RedrivePolicy" => {
                self.redrive = redrive(text)?;
                return Ok(());
            }
            "FifoQueue" | "ContentBasedDeduplication" | "DeduplicationScope" | "FifoThroughputLimit" => {
                return Err(Fault::new(
                    Code::InvalidAttributeName,
                    format!("{name}: {}", super::operations::NO_FIFO),
                ));
            }
            _ => {
                let message = format!("{name} cannot be set on this local endpoint");
                return Err(Fault::new(Code::InvalidAttributeName, message));
            }
        };
        let given = text.parse().ok().filter(|given| (min..=max).contains(given));
        *number = given.ok_or_else(|| {
            Fault::new(Code::InvalidAttributeValue, format!("{name} must be a number from {min} to {max}"))
        })?;
        Ok(())
    }

    /// As `GetQueueAttributes` shows them.
    pub(super) fn show(&self) -> Vec<(&'static str, String)> {
        let mut shown = vec![
            ("VisibilityTimeout", self.visibility_seconds.to_string()),
            ("MessageRetentionPeriod", self.retention_seconds.to_string()),
            ("MaximumMessageSize", self.message_bytes_max.to_string()),
            ("ReceiveMessageWaitTimeSeconds", self.wait_seconds.to_string()),
            ("DelaySeconds", self.delay_seconds.to_string()),
        ];
        if let Some(Redrive { target, receives_max }) = &self.redrive {
            let policy = serde_json::json!({"deadLetterTargetArn": target, "maxReceiveCount": receives_max});
            shown.push(("RedrivePolicy", policy.to_string()));
        }
        shown
    }
}

/// Empty text takes the policy away.
fn redrive(text: &str) -> Result<Option<Redrive>, Fault> {
    if text.is_empty() {
        return Ok(None);
    }
    let wrong = || {
        let form = r#"{"deadLetterTargetArn": ARN of a queue, "maxReceiveCount": 1 to 1000}"#;
        Fault::new(Code::InvalidParameterValue, format!("RedrivePolicy must be {form}"))
    };
    let policy: BTreeMap<String, Value> = serde_json::from_str(text).map_err(|_| wrong())?;
    let target = policy.get("deadLetterTargetArn").and_then(Value::as_str).ok_or_else(wrong)?;
    let receives_max = match policy.get("maxReceiveCount") {
        // AWS's own default where the policy does not say.
        None => Some(10),
        Some(Value::String(text)) => text.parse().ok(),
        Some(number) => number.as_u64(),
    };
    let receives_max =
        receives_max.filter(|max| (1..=1000).contains(max)).and_then(|max| max.try_into().ok());
    Ok(Some(Redrive { target: target.to_owned(), receives_max: receives_max.ok_or_else(wrong)? }))
}
