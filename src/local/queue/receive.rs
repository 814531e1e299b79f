//! `ReceiveMessage`: at once, or when something arrives within the wait. In: how many and how long. Out: messages.

use std::{borrow::Cow, collections::BTreeMap, sync::Arc, time::Duration};

use tokio::{
    sync::Notify,
    time::{self, Instant},
};
use tokio_util::sync::CancellationToken;

use super::{
    Queues,
    fault::{Code, Fault},
    messages::Delivery,
    operations::{Outcome, name_in},
    send,
    settle::visibility,
    wire::{self, Received, ReceivedMessage, read},
};
use crate::{
    limits,
    local::serve::{Hangup, to_json},
};

/// Who sent every message here: there are no users to tell apart.
const SENDER_ID: &str = "AIDALOCALTRIBUTARY000";

/// A receive whose numbers are within their bounds.
#[derive(Clone)]
struct Wanted {
    queue: String,
    max: usize,
    visibility: Duration,
    wait: Duration,
}

/// `ReceiveMessage`.
///
/// # Errors
/// Outside: the connection is to be closed. Inside: what SQS would answer.
pub(super) async fn receive(
    queues: &Arc<Queues>,
    body: &[u8],
    stop: &CancellationToken,
) -> Result<Outcome, Hangup> {
    let request: wire::Receive = match read(body) {
        Ok(request) => request,
        Err(fault) => return Ok(Err(fault)),
    };
    let (wanted, arrived) = match wanted(queues, &request) {
        Ok(wanted) => wanted,
        Err(fault) => return Ok(Err(fault)),
    };
    let deliveries = wait_for(queues, wanted, &arrived, stop).await?;
    Ok(deliveries.map(|deliveries| {
        let messages = deliveries.iter().map(|delivery| render(delivery, &request)).collect();
        to_json(&Received { messages })
    }))
}

fn wanted(queues: &Queues, request: &wire::Receive) -> Result<(Wanted, Arc<Notify>), Fault> {
    let name = name_in(&request.queue_url)?;
    let mut store = queues.store();
    let queue = store.queue(name)?;
    let within = |name: &str, given: Option<i64>, or: u64, min: u64, max: u64| {
        let Some(given) = given else { return Ok(or) };
        u64::try_from(given).ok().filter(|given| (min..=max).contains(given)).ok_or_else(|| {
            Fault::new(Code::InvalidParameterValue, format!("{name} must be a number from {min} to {max}"))
        })
    };
    let attributes = &queue.kept.attributes;
    let max =
        within("MaxNumberOfMessages", request.max_number_of_messages, 1, 1, limits::SQS_BATCH_MAX as u64)?;
    let seconds = within(
        "WaitTimeSeconds",
        request.wait_time_seconds,
        attributes.wait_seconds,
        0,
        limits::SQS_WAIT_SECONDS_MAX,
    )?;
    let visibility = match request.visibility_timeout {
        None => Duration::from_secs(attributes.visibility_seconds),
        Some(seconds) => visibility(seconds)?,
    };
    let wanted = Wanted {
        queue: name.to_owned(),
        max: usize::try_from(max).unwrap_or(1),
        visibility,
        wait: Duration::from_secs(seconds),
    };
    Ok((wanted, Arc::clone(&queue.arrived)))
}

async fn wait_for(
    queues: &Arc<Queues>,
    wanted: Wanted,
    arrived: &Notify,
    stop: &CancellationToken,
) -> Result<Result<Vec<Delivery>, Fault>, Hangup> {
    let deadline = Instant::now() + wanted.wait;
    loop {
        // Asked for before looking: a wake-up between the look and the wait is kept for this poll or the next.
        let arrival = arrived.notified();
        let Wanted { queue, max, visibility, .. } = wanted.clone();
        let looked = queues.run(move |queues| {
            let mut store = queues.store();
            let deliveries = store.receive(&queue, max, visibility)?;
            let release = store.queue(&queue)?.messages.next_release();
            Ok((deliveries, release))
        });
        let (deliveries, release) = match looked.await? {
            Ok(looked) => looked,
            Err(fault) => return Ok(Err(fault)),
        };
        if !deliveries.is_empty() || Instant::now() >= deadline || stop.is_cancelled() {
            return Ok(Ok(deliveries));
        }
        let look_again = release.map_or(deadline, |release| release.min(deadline));
        tokio::select! {
            () = arrival => {}
            () = time::sleep_until(look_again) => {}
            () = stop.cancelled() => {}
        }
    }
}

fn render<'a>(delivery: &'a Delivery, request: &wire::Receive) -> ReceivedMessage<'a> {
    let payload = &*delivery.message.payload;
    let is_wanted = |name: &str| {
        let mut names = request.attribute_names.iter().chain(&request.message_system_attribute_names);
        names.any(|wanted| wanted == "All" || wanted == name)
    };
    let mut attributes = BTreeMap::new();
    let mut add = |name: &'static str, text: Option<Cow<'a, str>>| {
        attributes.extend(text.filter(|_| is_wanted(name)).map(|text| (name, text)));
    };
    add("SenderId", Some(SENDER_ID.into()));
    add("SentTimestamp", Some(payload.sent_ms.to_string().into()));
    add("ApproximateReceiveCount", Some(delivery.message.receives.to_string().into()));
    add("ApproximateFirstReceiveTimestamp", Some(delivery.message.first_received_ms.to_string().into()));
    add("AWSTraceHeader", payload.trace_header.as_deref().map(Cow::from));
    add("MessageGroupId", payload.group_id.as_deref().map(Cow::from));
    add("DeadLetterQueueSourceArn", delivery.message.dead_letter_source.as_deref().map(Cow::from));
    let shown = |name: &str| request.message_attribute_names.iter().any(|wanted| names(wanted, name));
    let shown = || payload.attributes.iter().filter(|(name, _)| shown(name));
    ReceivedMessage {
        message_id: &payload.id,
        receipt_handle: delivery.handle.clone(),
        md5_of_body: &payload.md5,
        body: &payload.body,
        attributes,
        md5_of_message_attributes: send::digest(shown()),
        message_attributes: shown().map(|(name, attribute)| (name.as_str(), attribute)).collect(),
    }
}

/// Whether a wanted name (`All`, `.*`, `prefix.*` or the name itself) means this attribute.
fn names(wanted: &str, name: &str) -> bool {
    let by_prefix = wanted.strip_suffix(".*").is_some_and(|prefix| {
        prefix.is_empty() || name.strip_prefix(prefix).is_some_and(|rest| rest.starts_with('.'))
    });
    wanted == "All" || wanted == name || by_prefix
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::local::{LocalOptions, queue::operations};

    const URL: &str = "http://127.0.0.1:1/000000000000/events";

    fn queues() -> Arc<Queues> {
        Arc::new(Queues::open(&LocalOptions::default(), "http://127.0.0.1:1".to_owned(), None).unwrap())
    }

    fn call(queues: &Queues, operation: &str, request: serde_json::Value) -> serde_json::Value {
        let mut request = request;
        request["QueueUrl"] = URL.into();
        let answer = operations::answer(queues, operation, request.to_string().as_bytes()).unwrap();
        serde_json::from_slice(&answer).unwrap()
    }

    /// Polls for one message; tells how many came, and after how long.
    async fn poll(queues: &Arc<Queues>, visibility: u64) -> (usize, Duration) {
        let start = Instant::now();
        let request = serde_json::json!({
            "QueueUrl": URL, "WaitTimeSeconds": 20, "VisibilityTimeout": visibility, "MaxNumberOfMessages": 1
        });
        let body = request.to_string();
        let answer = receive(queues, body.as_bytes(), &CancellationToken::new()).await.unwrap().unwrap();
        let answer: serde_json::Value = serde_json::from_slice(&answer).unwrap();
        (answer["Messages"].as_array().map_or(0, Vec::len), start.elapsed())
    }

    #[tokio::test(start_paused = true)]
    async fn every_poll_that_waits_is_woken_at_once_by_what_is_sent() {
        let queues = queues();
        let send = async {
            let entries =
                serde_json::json!([{"Id": "1", "MessageBody": "a"}, {"Id": "2", "MessageBody": "b"}]);
            call(&queues, "SendMessageBatch", serde_json::json!({ "Entries": entries }));
        };
        // Polled in this order: both wait when the batch is sent, and the third finds nothing left.
        let (first, second, third, ()) =
            tokio::join!(poll(&queues, 600), poll(&queues, 600), poll(&queues, 600), send);
        assert_eq!((first, second), ((1, Duration::ZERO), (1, Duration::ZERO)));
        assert_eq!(third, (0, Duration::from_secs(20)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_poll_gets_what_becomes_visible_while_it_waits_when_it_does() {
        let queues = queues();
        call(&queues, "SendMessage", serde_json::json!({"MessageBody": "a", "DelaySeconds": 3}));
        let (count, waited) = poll(&queues, 4).await;
        assert_eq!((count, waited.as_secs()), (1, 3));
        let (count, waited) = poll(&queues, 600).await;
        assert_eq!((count, waited.as_secs()), (1, 4));
    }

    #[tokio::test(start_paused = true)]
    async fn a_poll_learns_of_a_timeout_that_is_shortened_while_it_waits() {
        let queues = queues();
        call(&queues, "SendMessage", serde_json::json!({"MessageBody": "a"}));
        let taken = queues.store().receive("events", 1, Duration::from_mins(10)).unwrap();
        let shorten = async {
            let change = serde_json::json!({"ReceiptHandle": taken[0].handle, "VisibilityTimeout": 5});
            call(&queues, "ChangeMessageVisibility", change);
        };
        let ((count, waited), ()) = tokio::join!(poll(&queues, 600), shorten);
        assert_eq!((count, waited.as_secs()), (1, 5));
    }
}
