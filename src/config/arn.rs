//! Reads the ARNs that a configuration names. In: text. Out: a [`ChannelArn`] or a [`StreamArn`] whose Region and
//! account are known.

use crate::{
    config::{ChannelArn, StreamArn},
    limits,
};

/// Longest ARN of a channel in characters (service model of cloudtrail, `ChannelArn`).
const CHANNEL_CHARS_MAX: usize = 256;

/// Why a text is not the ARN that is wanted. Reads on from the text that was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ArnError {
    /// Not `arn:` and six parts.
    #[error("is no ARN")]
    NotAnArn,
    /// The ARN of another service than this.
    #[error("is the ARN of another service than {0}")]
    OtherService(&'static str),
    /// The right service's, but of something else than this, such as a trail.
    #[error("is the ARN of something else than a {0}")]
    OtherThing(&'static str),
    /// No Region, or none that could be one.
    #[error("names no Region")]
    NoRegion,
    /// The account is not twelve digits.
    #[error("names no account of twelve digits")]
    NoAccount,
    /// What comes after this word and a slash is empty, too long or has odd characters.
    #[error("names no {0} that there could be after {0}/")]
    BadName(&'static str),
}

impl ChannelArn {
    /// Reads `arn:<partition>:cloudtrail:<region>:<account>:channel/<id>`.
    ///
    /// # Errors
    /// Names the first part that is wrong.
    pub fn parse(text: &str) -> Result<Self, ArnError> {
        let Parts { region, account, name } = Parts::of(text, "cloudtrail", "channel")?;
        if !is_name(name) || text.len() > CHANNEL_CHARS_MAX {
            return Err(ArnError::BadName("channel"));
        }
        Ok(Self { arn: text.to_owned(), region: region.to_owned(), account: account.to_owned() })
    }
}

impl StreamArn {
    /// Reads `arn:<partition>:kinesis:<region>:<account>:stream/<name>`.
    ///
    /// # Errors
    /// Names the first part that is wrong.
    pub fn parse(text: &str) -> Result<Self, ArnError> {
        let Parts { region, account, name } = Parts::of(text, "kinesis", "stream")?;
        if !Self::is_stream_name(name) {
            return Err(ArnError::BadName("stream"));
        }
        let owned = str::to_owned;
        Ok(Self { arn: owned(text), region: owned(region), account: owned(account), name: owned(name) })
    }

    /// Whether a stream may be called so.
    pub(crate) fn is_stream_name(text: &str) -> bool {
        is_name(text) && text.len() <= limits::STREAM_NAME_CHARS_MAX
    }
}

/// The stream's part of a consumer's ARN, `<the stream's ARN>/consumer/<name>:<number>`; `None` if it is none.
pub(crate) fn stream_of_consumer(text: &str) -> Option<StreamArn> {
    let (stream, consumer) = text.split_once("/consumer/")?;
    let (name, created) = consumer.split_once(':')?;
    let is_number = !created.is_empty() && created.bytes().all(|b| b.is_ascii_digit());
    (StreamArn::is_stream_name(name) && is_number).then(|| StreamArn::parse(stream).ok())?
}

/// What differs from one ARN of a kind to the next.
struct Parts<'a> {
    region: &'a str,
    account: &'a str,
    name: &'a str,
}

impl<'a> Parts<'a> {
    fn of(text: &'a str, service: &'static str, thing: &'static str) -> Result<Self, ArnError> {
        let parts: Vec<&str> = text.splitn(6, ':').collect();
        let ["arn", partition, named, region, account, resource] = parts[..] else {
            return Err(ArnError::NotAnArn);
        };
        if !partition.starts_with("aws") || !is_lower_word(partition) {
            return Err(ArnError::NotAnArn);
        }
        if named != service {
            return Err(ArnError::OtherService(service));
        }
        if !is_lower_word(region) || !region.contains('-') {
            return Err(ArnError::NoRegion);
        }
        if account.len() != 12 || !account.bytes().all(|b| b.is_ascii_digit()) {
            return Err(ArnError::NoAccount);
        }
        let name = resource.strip_prefix(thing).and_then(|rest| rest.strip_prefix('/'));
        Ok(Self { region, account, name: name.ok_or(ArnError::OtherThing(thing))? })
    }
}

/// Lower-case letters, digits and dashes, and not nothing.
fn is_lower_word(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_channel_arn_tells_region_and_account() {
        let text =
            "arn:aws:cloudtrail:eu-central-1:111122223333:channel/EXAMPLE8-0558-4f7e-a06a-43969EXAMPLE";
        let arn = ChannelArn::parse(text).unwrap();
        assert_eq!((arn.region.as_str(), arn.account.as_str()), ("eu-central-1", "111122223333"));
        assert_eq!(arn.arn, text);
        assert!(ChannelArn::parse("arn:aws-iso-e:cloudtrail:eu-isoe-west-1:111122223333:channel/x").is_ok());
    }

    #[test]
    fn a_stream_arn_tells_region_account_and_name() {
        let text = "arn:aws-cn:kinesis:cn-north-1:111122223333:stream/Audit_events.1";
        let arn = StreamArn::parse(text).unwrap();
        let parts = (arn.region.as_str(), arn.account.as_str(), arn.name.as_str());
        assert_eq!(parts, ("cn-north-1", "111122223333", "Audit_events.1"));
        assert_eq!(arn.arn, text);
    }

    #[test]
    fn what_is_wrong_with_an_arn_is_named() {
        use ArnError as E;
        let long = format!("arn:aws:cloudtrail:us-east-1:111122223333:channel/{}", "a".repeat(256));
        for (text, wrong) in [
            ("", E::NotAnArn),
            ("EXAMPLE8-0558-4f7e-a06a-43969EXAMPLE", E::NotAnArn),
            ("arn:gcp:cloudtrail:us-east-1:111122223333:channel/x", E::NotAnArn),
            ("arn:aws:sqs:us-east-1:111122223333:queue", E::OtherService("cloudtrail")),
            ("arn:aws:cloudtrail::111122223333:channel/x", E::NoRegion),
            ("arn:aws:cloudtrail:US-EAST-1:111122223333:channel/x", E::NoRegion),
            ("arn:aws:cloudtrail:us-east-1:1111222233334:channel/x", E::NoAccount),
            ("arn:aws:cloudtrail:us-east-1:11112222333x:channel/x", E::NoAccount),
            ("arn:aws:cloudtrail:us-east-1:111122223333:trail/x", E::OtherThing("channel")),
            ("arn:aws:cloudtrail:us-east-1:111122223333:eventdatastore/x", E::OtherThing("channel")),
            ("arn:aws:cloudtrail:us-east-1:111122223333:channel/", E::BadName("channel")),
            ("arn:aws:cloudtrail:us-east-1:111122223333:channel/a b", E::BadName("channel")),
            (&long, E::BadName("channel")),
        ] {
            assert_eq!(ChannelArn::parse(text), Err(wrong), "{text}");
        }
        let long = format!("arn:aws:kinesis:us-east-1:111122223333:stream/{}", "a".repeat(129));
        for (text, wrong) in [
            ("arn:aws:firehose:us-east-1:111122223333:deliverystream/x", E::OtherService("kinesis")),
            ("arn:aws:kinesis:us-east-1:111122223333:x", E::OtherThing("stream")),
            ("arn:aws:kinesis:us-east-1:111122223333:streams/x", E::OtherThing("stream")),
            ("arn:aws:kinesis:us-east-1:111122223333:stream/x/consumer/y:1", E::BadName("stream")),
            (&long, E::BadName("stream")),
        ] {
            assert_eq!(StreamArn::parse(text), Err(wrong), "{text}");
        }
    }

    #[test]
    fn a_consumer_arn_names_its_stream() {
        let stream = "arn:aws:kinesis:us-east-1:111122223333:stream/audit";
        let parsed = stream_of_consumer(&format!("{stream}/consumer/tributary:1700000000"));
        assert_eq!(parsed, StreamArn::parse(stream).ok());
        for wrong in ["", "/consumer/a", "/consumer/:1", "/consumer/a:", "/consumer/a:x", "/consumer/a b:1"] {
            assert_eq!(stream_of_consumer(&format!("{stream}{wrong}")), None, "{wrong}");
        }
        assert_eq!(stream_of_consumer("audit/consumer/a:1"), None);
    }
}
