//! Which channel a put is for. In: the `channelArn` of a request. Out: its Region and account, or why not.

use crate::config::ChannelArn;

/// Reads `arn:aws[…]:cloudtrail:<region>:<account>:channel/<id>`, the form that channels are created with.
pub(super) fn parse(arn: &str) -> Option<ChannelArn> {
    let mut parts = arn.splitn(6, ':');
    let mut next = || parts.next().unwrap_or_default();
    let (scheme, partition, service, region, account, resource) =
        (next(), next(), next(), next(), next(), next());
    let id = resource.strip_prefix("channel/")?;
    let is_channel = scheme == "arn"
        && partition
            .strip_prefix("aws")
            .is_some_and(|rest| all(rest, |b| b == b'-' || b.is_ascii_lowercase()))
        && service == "cloudtrail"
        && !region.is_empty()
        && all(region, |b| b == b'-' || b.is_ascii_lowercase() || b.is_ascii_digit())
        && account.len() == 12
        && all(account, |b| b.is_ascii_digit())
        && (1..=256).contains(&id.len())
        && all(id, |b| b.is_ascii_alphanumeric() || b"-_.".contains(&b));
    is_channel.then(|| ChannelArn {
        arn: arn.to_owned(),
        region: region.to_owned(),
        account: account.to_owned(),
    })
}

fn all(text: &str, allowed: impl Fn(u8) -> bool) -> bool {
    text.bytes().all(allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_channel_arn_tells_region_and_account() {
        let arn = "arn:aws-iso-e:cloudtrail:eu-isoe-west-1:123456789012:channel/3f1c-77";
        let channel = parse(arn).expect("well formed");
        assert_eq!((channel.region.as_str(), channel.account.as_str()), ("eu-isoe-west-1", "123456789012"));
        assert_eq!(channel.arn, arn);
    }

    #[test]
    fn what_is_no_channel_arn_is_refused() {
        for arn in [
            "",
            "arn:",
            "channel/3f1c",
            "arn:aws:cloudtrail:us-east-1:123456789012:eventdatastore/3f1c",
            "arn:aws:cloudtrail:us-east-1:123456789012:channel/",
            "arn:aws:cloudtrail:us-east-1:123456789012:channel/a/b",
            "arn:aws:cloudtrail:us-east-1:12345678901:channel/3f1c",
            "arn:aws:cloudtrail:us-east-1:12345678901a:channel/3f1c",
            "arn:aws:cloudtrail::123456789012:channel/3f1c",
            "arn:aws:sqs:us-east-1:123456789012:channel/3f1c",
            "arn:gcp:cloudtrail:us-east-1:123456789012:channel/3f1c",
        ] {
            assert_eq!(parse(arn), None, "{arn}");
        }
    }
}
