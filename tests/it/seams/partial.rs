//! Batch calls of SQS that succeed as a whole while single entries fail, and calls that fail as a whole: every
//! handle gets the answer that is its own, what may pass is tried again, and tries are bounded.

use std::time::Duration;

use serde_json::{Value, json};
use tributary::{failure::CallError, receive::Source};

use super::source::source_at;
use crate::support::scripted::{Answer, Call, Scripted};

/// Tries of one entry, and the SDK's own tries of one call.
const TRIES_MAX: usize = 3;
const SDK_TRIES_MAX: usize = 3;

/// Both calls that settle messages.
const DELETE: &str = "DeleteMessageBatch";
const CHANGE: &str = "ChangeMessageVisibilityBatch";

/// Hands out `message 0`, `message 1` and so on, and settles as `settle` says.
async fn server(settle: impl Fn(&Call) -> Answer + Send + Sync + 'static) -> Scripted {
    Scripted::start(move |call| {
        if call.action != "ReceiveMessage" {
            return settle(call);
        }
        let message = |at: usize| json!({"MessageId": format!("{at}"), "ReceiptHandle": format!("h-{at}"), "Body": "a"});
        let first = call.nth * 10;
        (200, json!({ "Messages": (first..first + 10).map(message).collect::<Vec<_>>() }))
    })
    .await
}

/// Receives so many and settles them with this call.
async fn settle(server: &Scripted, action: &str, count: usize) -> Vec<Result<(), CallError>> {
    let (source, _) = source_at(&server.aws(), &server.queue_url(), 300);
    let mut handles = Vec::new();
    while handles.len() < count {
        let messages = source.receive().await.expect("received");
        handles.extend(messages.into_iter().map(|message| message.handle));
    }
    handles.truncate(count);
    let results = if action == DELETE {
        source.ack(&handles).await
    } else {
        let returned: Vec<_> = handles.into_iter().map(|handle| (handle, Duration::from_secs(7))).collect();
        source.give_back(&returned).await
    };
    assert_eq!(results.len(), count, "{action}: one result for each handle");
    results
}

fn handle_of(entry: &Value) -> &str {
    entry["ReceiptHandle"].as_str().unwrap_or_default()
}

fn failed_at(results: &[Result<(), CallError>]) -> Vec<usize> {
    results.iter().enumerate().filter(|(_, result)| result.is_err()).map(|(at, _)| at).collect()
}

#[tokio::test]
async fn an_entry_that_may_pass_is_tried_again_alone() {
    for action in [DELETE, CHANGE] {
        let server = server(|call| {
            call.outcome(|entry| {
                (call.nth == 0 && handle_of(entry) == "h-4").then_some(("InternalError", false))
            })
        });
        let server = server.await;
        let results = settle(&server, action, 10).await;
        assert_eq!(failed_at(&results), [0; 0], "{action}: {results:?}");
        let calls = server.calls(action);
        assert_eq!(calls.len(), 2, "{action}");
        let again: Vec<_> = calls[1].entries().iter().map(handle_of).collect();
        assert_eq!(again, ["h-4"], "{action}: only what failed is tried again");
        let seconds = &calls[1].entries()[0]["VisibilityTimeout"];
        assert!(action == DELETE || seconds == 7, "{action}: the delay of the second try is {seconds}");
    }
}

#[tokio::test]
async fn an_entry_that_we_got_wrong_fails_alone_and_is_not_tried_again() {
    for action in [DELETE, CHANGE] {
        let server = server(|call| {
            call.outcome(|entry| {
                ["h-3", "h-17", "h-24"]
                    .contains(&handle_of(entry))
                    .then_some(("ReceiptHandleIsInvalid", true))
            })
        });
        let server = server.await;
        let results = settle(&server, action, 25).await;
        assert_eq!(failed_at(&results), [3, 17, 24], "{action}: {results:?}");
        assert_eq!(server.calls(action).len(), 3, "{action}: three batches, each once");
        let sizes: Vec<_> = server.calls(action).iter().map(|call| call.entries().len()).collect();
        assert!(sizes.iter().all(|size| *size <= 10), "{action}: {sizes:?}");
    }
}

#[tokio::test]
async fn an_entry_that_is_not_mentioned_is_not_taken_for_done() {
    for action in [DELETE, CHANGE] {
        let server = server(|call| {
            let (status, mut answer) = call.outcome(|_| None);
            // The third of the first call, and then it alone, never gets an answer.
            answer["Successful"].as_array_mut().expect("a list").retain(|entry| {
                let at = call.entries().iter().find(|sent| sent["Id"] == entry["Id"]);
                at.is_none_or(|sent| handle_of(sent) != "h-2")
            });
            (status, answer)
        });
        let server = server.await;
        let results = settle(&server, action, 10).await;
        assert_eq!(failed_at(&results), [2], "{action}: {results:?}");
        let Err(error) = &results[2] else { panic!("{action}: asserted above") };
        assert!(
            matches!(error, CallError::Transient { code, .. } if code == "unmentioned"),
            "{action}: {error:?}"
        );
        assert_eq!(server.calls(action).len(), TRIES_MAX, "{action}");
    }
}

#[tokio::test]
async fn a_call_that_failed_as_a_whole_is_tried_again() {
    for action in [DELETE, CHANGE] {
        let server = server(|call| match call.nth {
            0 => (500, json!({"__type": "com.amazonaws.sqs#InternalError", "message": "scripted"})),
            _ => call.outcome(|_| None),
        });
        let server = server.await;
        let results = settle(&server, action, 10).await;
        assert_eq!(failed_at(&results), [0; 0], "{action}: {results:?}");
        assert_eq!(server.calls(action).len(), 2, "{action}");
    }
}

#[tokio::test]
async fn tries_are_bounded() {
    let (deleted, changed) = tokio::join!(
        server(|call| call.outcome(|entry| (handle_of(entry) == "h-1").then_some(("InternalError", false)))),
        server(|_| (500, json!({"__type": "com.amazonaws.sqs#InternalError", "message": "scripted"}))),
    );
    let (single, whole) = tokio::join!(settle(&deleted, DELETE, 10), settle(&changed, CHANGE, 10));
    assert_eq!(failed_at(&single), [1], "{single:?}");
    assert_eq!(deleted.calls(DELETE).len(), TRIES_MAX);
    assert_eq!(failed_at(&whole), (0..10).collect::<Vec<_>>(), "{whole:?}");
    let is_transient = |result: &Result<(), _>| matches!(result, Err(CallError::Transient { .. }));
    assert!(whole.iter().all(is_transient), "{whole:?}");
    let calls = changed.calls(CHANGE).len();
    assert!((TRIES_MAX..=TRIES_MAX * SDK_TRIES_MAX).contains(&calls), "{calls} calls");
}

#[tokio::test]
async fn a_refusal_of_the_whole_call_is_our_mistake_and_counted() {
    let server =
        server(|_| (403, json!({"__type": "com.amazonaws.sqs#AccessDenied", "message": "no"}))).await;
    let results = settle(&server, DELETE, 10).await;
    let is_ours = |result: &Result<(), CallError>| matches!(result, Err(CallError::Misconfigured { message, .. }) if message.contains("sqs:DeleteMessage"));
    assert!(results.iter().all(is_ours), "{results:?}");
    assert_eq!(server.calls(DELETE).len(), 1);
}
