//! Looks at the URL of a queue before anything is sent to it: the common slips each get their cure.

use crate::config::kinds::Wrong;

/// Longest queue name, `.fifo` included.
/// <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-queues.html>
const NAME_CHARS_MAX: usize = 80;

const FIFO_SUFFIX: &str = ".fifo";
const FORM: &str = "https://sqs.<region>.amazonaws.com/<account>/<name>";

/// Checks `http(s)://host[:port]/…/<name>`; for AWS's own hosts also `https` and `/<account>/<name>`.
pub(crate) fn check(text: &str) -> Result<(), Wrong> {
    // A URL with an `@` may hold a password.
    let quoted = if text.contains('@') { "the URL".to_owned() } else { format!("{text:?}") };
    let wrong = |what: &str| Wrong::new(format!("{quoted} {what}"), cure(text));
    let Some((scheme, rest)) = text.split_once("://") else {
        return Err(wrong("is no URL"));
    };
    if scheme != "https" && scheme != "http" {
        return Err(wrong("is neither https nor http"));
    }
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    if !is_host(host) {
        return Err(wrong("names no host"));
    }
    let segments: Vec<&str> = path.split('/').collect();
    if !segments.last().is_some_and(|name| is_queue_name(name)) {
        return Err(wrong("does not end in a queue name"));
    }
    if is_aws(host) && scheme != "https" {
        return Err(wrong("would travel unencrypted"));
    }
    if is_aws(host) && !matches!(segments[..], [account, _] if is_account(account)) {
        return Err(wrong("has no account of twelve digits before the queue name"));
    }
    Ok(())
}

/// A FIFO queue is told by its name.
pub(crate) fn is_fifo(url: &str) -> bool {
    url.ends_with(FIFO_SUFFIX)
}

fn is_host(text: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b".-:[]_".contains(&b);
    text.bytes().any(|b| b.is_ascii_alphanumeric()) && text.bytes().all(allowed)
}

fn is_aws(host: &str) -> bool {
    host.ends_with(".amazonaws.com") || host.ends_with(".amazonaws.com.cn")
}

fn is_account(text: &str) -> bool {
    text.len() == 12 && text.bytes().all(|b| b.is_ascii_digit())
}

fn is_queue_name(text: &str) -> bool {
    let stem = text.strip_suffix(FIFO_SUFFIX).unwrap_or(text);
    text.len() <= NAME_CHARS_MAX
        && !stem.is_empty()
        && stem.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
}

/// An ARN holds all that the URL needs, so the URL itself can be offered.
fn cure(text: &str) -> String {
    match text.split(':').collect::<Vec<_>>()[..] {
        ["arn", "aws", "sqs", region, account, name] => {
            format!(
                "this is the queue's ARN; write its URL, https://sqs.{region}.amazonaws.com/{account}/{name}"
            )
        }
        _ => format!("write the queue's URL, {FORM}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queue_urls_of_aws_and_of_others_are_taken() {
        for url in [
            "https://sqs.eu-central-1.amazonaws.com/111122223333/audit-events",
            "https://sqs.eu-central-1.amazonaws.com/111122223333/audit_events.fifo",
            "https://sqs.cn-north-1.amazonaws.com.cn/111122223333/q",
            "https://queue.amazonaws.com/111122223333/q",
            "http://127.0.0.1:9324/000000000000/audit-events",
            "http://[::1]:9324/000000000000/audit-events",
            "http://localhost:9324/queue/audit-events",
        ] {
            assert_eq!(check(url), Ok(()), "{url}");
        }
    }

    #[test]
    fn other_urls_are_refused_with_a_cure() {
        let long = format!("https://sqs.us-east-1.amazonaws.com/111122223333/{}", "a".repeat(81));
        for (url, part) in [
            ("", "is no URL"),
            ("audit-events", "is no URL"),
            ("ftp://host/q", "neither https nor http"),
            ("https:///111122223333/q", "names no host"),
            ("https://user:secret@host/q", "names no host"),
            ("https://sqs.us-east-1.amazonaws.com", "queue name"),
            ("https://sqs.us-east-1.amazonaws.com/111122223333/", "queue name"),
            ("https://sqs.us-east-1.amazonaws.com/111122223333/a b", "queue name"),
            ("https://sqs.us-east-1.amazonaws.com/111122223333/.fifo", "queue name"),
            ("https://sqs.us-east-1.amazonaws.com/111122223333/q?x=1", "queue name"),
            (&long, "queue name"),
            ("https://sqs.us-east-1.amazonaws.com/1111/q", "twelve digits"),
            ("https://sqs.us-east-1.amazonaws.com/q", "twelve digits"),
            ("http://sqs.us-east-1.amazonaws.com/111122223333/q", "unencrypted"),
        ] {
            let wrong = check(url).unwrap_err();
            assert!(wrong.what.contains(part), "{url}: {}", wrong.what);
            assert!(wrong.cure.contains("https://sqs."), "{url}: {}", wrong.cure);
            assert!(!wrong.what.contains("secret"), "{}", wrong.what);
        }
    }

    #[test]
    fn an_arn_in_place_of_a_url_is_answered_with_the_url() {
        let wrong = check("arn:aws:sqs:eu-west-1:111122223333:audit").unwrap_err();
        assert!(wrong.cure.ends_with("https://sqs.eu-west-1.amazonaws.com/111122223333/audit"));
    }
}
