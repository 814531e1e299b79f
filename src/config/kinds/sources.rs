//! What events come from, and where to begin: queues, streams, their consumers, and places in a stream.

use std::time::SystemTime;

use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use super::{Kind, Wrong};
use crate::config::{Start, StreamArn, arn, queue_url};

/// The URL of an SQS queue, at AWS or elsewhere.
pub struct QueueUrl;

impl Kind for QueueUrl {
    type Value = String;

    fn parse(&self, text: &str) -> Result<String, Wrong> {
        queue_url::check(text)?;
        Ok(text.to_owned())
    }

    fn bounds(&self) -> String {
        "the URL of an SQS queue".into()
    }
}

/// The ARN of a stream of Kinesis.
pub struct Stream;

impl Kind for Stream {
    type Value = StreamArn;

    fn parse(&self, text: &str) -> Result<StreamArn, Wrong> {
        StreamArn::parse(text).map_err(|error| {
            Wrong::new(
                format!("{text:?} {error}"),
                "copy the StreamARN that `aws kinesis describe-stream-summary` prints, \
                 arn:aws:kinesis:<region>:<account>:stream/<name>",
            )
        })
    }

    fn bounds(&self) -> String {
        "the whole ARN of a stream of Kinesis".into()
    }
}

/// The ARN of a registered consumer of a stream.
pub struct Consumer;

impl Kind for Consumer {
    type Value = String;

    fn parse(&self, text: &str) -> Result<String, Wrong> {
        arn::stream_of_consumer(text).map(|_| text.to_owned()).ok_or_else(|| {
            Wrong::new(
                format!("{text:?} is no ARN of a consumer"),
                "copy the ConsumerARN that `aws kinesis register-stream-consumer` prints, \
                 <the stream's ARN>/consumer/<name>:<number>",
            )
        })
    }

    fn bounds(&self) -> String {
        "the whole ARN of a consumer of that stream".into()
    }
}

/// Where to begin in a stream: `trim_horizon`, `latest`, or a time.
pub struct Beginning;

impl Kind for Beginning {
    type Value = Start;

    fn parse(&self, text: &str) -> Result<Start, Wrong> {
        match text {
            "trim_horizon" => return Ok(Start::TrimHorizon),
            "latest" => return Ok(Start::Latest),
            _ => {}
        }
        let time =
            OffsetDateTime::parse(text, &Rfc3339).ok().filter(|time| *time >= OffsetDateTime::UNIX_EPOCH);
        time.map(|time| Start::At(SystemTime::from(time))).ok_or_else(|| {
            Wrong::new(format!("{text:?} is no place in a stream"), format!("write {}", self.bounds()))
        })
    }

    fn bounds(&self) -> String {
        "\"trim_horizon\" or \"latest\" or a time such as \"2026-01-02T03:04:05Z\"".into()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_place_in_a_stream_is_a_word_or_a_time() {
        let at = |millis| Start::At(SystemTime::UNIX_EPOCH + Duration::from_millis(millis));
        for (text, start) in [
            ("trim_horizon", Start::TrimHorizon),
            ("latest", Start::Latest),
            ("1970-01-01T00:00:00Z", at(0)),
            ("2026-01-02T04:00:45.678+01:00", at(1_767_322_845_678)),
        ] {
            assert_eq!(Beginning.parse(text), Ok(start), "{text}");
        }
        for text in
            ["", "LATEST", "TRIM_HORIZON", "2026-01-02", "2026-01-02T03:04:05", "1969-12-31T23:59:59Z"]
        {
            assert!(Beginning.parse(text).unwrap_err().cure.contains("trim_horizon"), "{text}");
        }
    }
}
