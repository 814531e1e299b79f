//! Reads the ARN of a channel. In: text. Out: a [`ChannelArn`] whose Region and account are known.

use crate::config::ChannelArn;

/// Longest ARN of a channel in characters (service model of cloudtrail, `ChannelArn`).
const ARN_CHARS_MAX: usize = 256;

/// Why a text is not the ARN of a channel. Reads on from the text that was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChannelArnError {
    /// Not `arn:` and six parts.
    #[error("is no ARN")]
    NotAnArn,
    /// The ARN of another service.
    #[error("is the ARN of another service than cloudtrail")]
    OtherService,
    /// CloudTrail's, but of a trail or an event data store.
    #[error("is the ARN of something else than a channel")]
    NotAChannel,
    /// No Region, or none that could be one.
    #[error("names no Region")]
    NoRegion,
    /// The account is not twelve digits.
    #[error("names no account of twelve digits")]
    NoAccount,
    /// The id after `channel/` is empty, too long or has odd characters.
    #[error("has no valid id after channel/")]
    BadId,
}

impl ChannelArn {
    /// Reads `arn:<partition>:cloudtrail:<region>:<account>:channel/<id>`.
    ///
    /// # Errors
    /// Names the first part that is wrong.
    pub fn parse(text: &str) -> Result<Self, ChannelArnError> {
        let parts: Vec<&str> = text.splitn(6, ':').collect();
        let ["arn", partition, service, region, account, resource] = parts[..] else {
            return Err(ChannelArnError::NotAnArn);
        };
        if !partition.starts_with("aws") || !is_lower_word(partition) {
            return Err(ChannelArnError::NotAnArn);
        }
        if service != "cloudtrail" {
            return Err(ChannelArnError::OtherService);
        }
        if !is_lower_word(region) || !region.contains('-') {
            return Err(ChannelArnError::NoRegion);
        }
        if account.len() != 12 || !account.bytes().all(|b| b.is_ascii_digit()) {
            return Err(ChannelArnError::NoAccount);
        }
        let id = resource.strip_prefix("channel/").ok_or(ChannelArnError::NotAChannel)?;
        let is_id = !id.is_empty() && id.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b));
        if !is_id || text.len() > ARN_CHARS_MAX {
            return Err(ChannelArnError::BadId);
        }
        Ok(Self { arn: text.to_owned(), region: region.to_owned(), account: account.to_owned() })
    }
}

/// Lower-case letters, digits and dashes, and not nothing.
fn is_lower_word(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
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
    fn what_is_wrong_with_an_arn_is_named() {
        use ChannelArnError as E;
        let long = format!("arn:aws:cloudtrail:us-east-1:111122223333:channel/{}", "a".repeat(256));
        for (text, wrong) in [
            ("", E::NotAnArn),
            ("EXAMPLE8-0558-4f7e-a06a-43969EXAMPLE", E::NotAnArn),
            ("arn:gcp:cloudtrail:us-east-1:111122223333:channel/x", E::NotAnArn),
            ("arn:aws:sqs:us-east-1:111122223333:queue", E::OtherService),
            ("arn:aws:cloudtrail::111122223333:channel/x", E::NoRegion),
            ("arn:aws:cloudtrail:US-EAST-1:111122223333:channel/x", E::NoRegion),
            ("arn:aws:cloudtrail:us-east-1:1111222233334:channel/x", E::NoAccount),
            ("arn:aws:cloudtrail:us-east-1:11112222333x:channel/x", E::NoAccount),
            ("arn:aws:cloudtrail:us-east-1:111122223333:trail/x", E::NotAChannel),
            ("arn:aws:cloudtrail:us-east-1:111122223333:eventdatastore/x", E::NotAChannel),
            ("arn:aws:cloudtrail:us-east-1:111122223333:channel/", E::BadId),
            ("arn:aws:cloudtrail:us-east-1:111122223333:channel/a b", E::BadId),
            (&long, E::BadId),
        ] {
            assert_eq!(ChannelArn::parse(text), Err(wrong), "{text}");
        }
    }
}
