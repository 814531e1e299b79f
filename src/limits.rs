//! AWS limits that the code relies on, each with its source. Relations between them are checked at compile time.
//!
//! "kB" and "MB" are not defined by the pages that use them; the stricter reading (1,000 and 1,000,000) is taken.

/// Entries of one `PutAuditEvents` request.
/// <https://docs.aws.amazon.com/awscloudtraildata/latest/APIReference/API_PutAuditEvents.html>
pub const PUT_EVENTS_MAX: usize = 100;
/// "less than 1 MB" for all events of a request, read as the request body as sent.
/// <https://docs.aws.amazon.com/awscloudtrail/latest/userguide/lake-partner-onboarding-tasks.html>
pub const PUT_BYTES_MAX: usize = 999_999;
/// One event's `eventData` in UTF-8 bytes (same page).
pub const EVENT_DATA_BYTES_MAX: usize = 256_000;
/// `auditEvents[].id`: `^[-_A-Za-z0-9]+$`, at most this long (service model of cloudtrail-data).
pub const EVENT_ID_CHARS_MAX: usize = 128;
/// `externalId`: 2 to 1224 characters of `^[\w+=,.@:\/-]*$` (service model of cloudtrail-data).
pub const EXTERNAL_ID_CHARS_MAX: usize = 1224;
/// Calls of `PutAuditEvents` a second, for one account in one Region; not adjustable (Service Quotas L-A60E6D1D).
pub const PUT_REQUESTS_PER_SECOND: u32 = 100;

/// `version`, `errorCode`, `errorMessage` in characters.
/// <https://docs.aws.amazon.com/awscloudtrail/latest/userguide/query-integration-event-schema.html>, as all below.
pub const SHORT_TEXT_CHARS_MAX: usize = 256;
/// `userIdentity.type` in characters.
pub const IDENTITY_TYPE_CHARS_MAX: usize = 128;
/// `principalId`, `userAgent`, `eventSource`, `eventName`, `UID` in characters.
pub const LONG_TEXT_CHARS_MAX: usize = 1024;
/// `requestParameters` and `responseElements` in bytes of JSON.
pub const PARAMETERS_BYTES_MAX: usize = 100_000;
/// `additionalEventData` in bytes of JSON.
pub const ADDITIONAL_BYTES_MAX: usize = 28_000;

/// Messages of one SQS batch call, and of one `ReceiveMessage`.
/// <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-messages.html>, as all below.
pub const SQS_BATCH_MAX: usize = 10;
/// One SQS message with its attributes, and one batch, in bytes.
pub const SQS_BYTES_MAX: usize = 1_048_576;
/// Longest `WaitTimeSeconds`.
pub const SQS_WAIT_SECONDS_MAX: u64 = 20;
/// Longest visibility timeout, counted from the first receive, in seconds.
pub const SQS_VISIBILITY_SECONDS_MAX: u64 = 43_200;

/// Records of one `PutRecords` call.
/// <https://docs.aws.amazon.com/kinesis/latest/APIReference/API_PutRecords.html>, as all below.
pub const KINESIS_PUT_RECORDS_MAX: usize = 500;
/// All records of a `PutRecords` call with their partition keys, in bytes.
pub const KINESIS_PUT_BYTES_MAX: usize = 10_485_760;
/// The data of one record with its partition key, in bytes. A stream carries less until it is told otherwise: 1 MiB.
pub const KINESIS_RECORD_BYTES_MAX: usize = 10_485_760;
/// Characters of a partition key.
pub const PARTITION_KEY_CHARS_MAX: usize = 256;
/// Characters of a stream's name (service model of kinesis, `StreamName`).
pub const STREAM_NAME_CHARS_MAX: usize = 128;
/// `GetRecords` calls a second for one shard, of all readers that poll.
/// <https://docs.aws.amazon.com/kinesis/latest/APIReference/API_GetRecords.html>
pub const KINESIS_GETS_PER_SECOND: usize = 5;

/// Characters of an S3 bucket's name: 63 today, more for old ones.
/// <https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html>
pub const S3_BUCKET_CHARS_MAX: usize = 255;
/// Bytes of an S3 object's key in UTF-8.
/// <https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-keys.html>
pub const S3_KEY_BYTES_MAX: usize = 1_024;

const _: () = assert!(2 * EVENT_DATA_BYTES_MAX < PUT_BYTES_MAX, "an event without escapes fits a request");
const _: () = assert!(2 * PARAMETERS_BYTES_MAX + ADDITIONAL_BYTES_MAX < EVENT_DATA_BYTES_MAX);
