//! The errors of SQS, in the names of the JSON protocol and of the query protocol that came before it.
//!
//! In: a code and a sentence. Out: an HTTP status, a header and a body, or one `Failed` entry of a batch.

use hyper::StatusCode;
use serde::Serialize;

use crate::local::serve;

macro_rules! codes {
    ($($name:ident = $query:literal),+ $(,)?) => {
        /// What went wrong; see the errors of each action in the SQS API reference.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(super) enum Code { $($name),+ }
        impl Code {
            /// As the JSON protocol names it.
            pub(super) fn name(self) -> &'static str { match self { $(Self::$name => stringify!($name)),+ } }
            /// As the query protocol names it; SDKs show this one where they have for years.
            fn query(self) -> &'static str { match self { $(Self::$name => $query),+ } }
        }
    };
}

codes! {
    BatchEntryIdsNotDistinct = "AWS.SimpleQueueService.BatchEntryIdsNotDistinct",
    BatchRequestTooLong = "AWS.SimpleQueueService.BatchRequestTooLong",
    EmptyBatchRequest = "AWS.SimpleQueueService.EmptyBatchRequest",
    InternalFailure = "InternalFailure",
    InvalidAttributeName = "InvalidAttributeName",
    InvalidAttributeValue = "InvalidAttributeValue",
    InvalidBatchEntryId = "AWS.SimpleQueueService.InvalidBatchEntryId",
    InvalidMessageContents = "InvalidMessageContents",
    InvalidParameterValue = "InvalidParameterValue",
    MalformedInput = "MalformedInput",
    MessageNotInflight = "AWS.SimpleQueueService.MessageNotInflight",
    MissingParameter = "MissingParameter",
    OverLimit = "OverLimit",
    PurgeQueueInProgress = "AWS.SimpleQueueService.PurgeQueueInProgress",
    QueueDoesNotExist = "AWS.SimpleQueueService.NonExistentQueue",
    QueueNameExists = "QueueAlreadyExists",
    ReceiptHandleIsInvalid = "ReceiptHandleIsInvalid",
    TooManyEntriesInBatchRequest = "AWS.SimpleQueueService.TooManyEntriesInBatchRequest",
    UnsupportedOperation = "AWS.SimpleQueueService.UnsupportedOperation",
}

/// One error, with a sentence that names no part of a message.
#[derive(Debug)]
pub(super) struct Fault {
    pub(super) code: Code,
    pub(super) message: String,
}

#[derive(Serialize)]
struct Body<'a> {
    __type: String,
    message: &'a str,
}

impl Fault {
    pub(super) fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }

    /// Whether the caller is at fault, as far as SQS distinguishes.
    pub(super) fn is_senders(&self) -> bool {
        self.code != Code::InternalFailure
    }

    pub(super) fn status(&self) -> StatusCode {
        if self.is_senders() { StatusCode::BAD_REQUEST } else { StatusCode::INTERNAL_SERVER_ERROR }
    }

    /// The value of `x-amzn-query-error`.
    pub(super) fn query_code(&self) -> String {
        format!("{};{}", self.code.query(), if self.is_senders() { "Sender" } else { "Receiver" })
    }

    pub(super) fn body(&self) -> Vec<u8> {
        serve::to_json(&Body {
            __type: format!("com.amazonaws.sqs#{}", self.code.name()),
            message: &self.message,
        })
    }
}

impl From<crate::local::DiskError> for Fault {
    fn from(error: crate::local::DiskError) -> Self {
        let message = crate::failure::chain(&error);
        tracing::error!(error = %message, "a queue's state was not kept");
        Self::new(Code::InternalFailure, message)
    }
}
