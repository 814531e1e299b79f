//! Which letters a command is about. In: the arguments, and a letter. Out: yes or no.

use std::time::SystemTime;

use super::letter::DeadLetterMessage;
use crate::cli::WhichArgs;

impl WhichArgs {
    /// Any of each kind, and all kinds. A letter that does not say when it was written is within any time.
    pub(super) fn wants(&self, letter: &DeadLetterMessage) -> bool {
        let is_any = |wanted: &[String], is: Option<&str>| {
            wanted.is_empty() || is.is_some_and(|is| wanted.iter().any(|wanted| wanted == is))
        };
        let is_named = self.event_id.is_empty()
            || self.event_id.iter().any(|id| *id == letter.message_id || letter.event_id() == Some(id));
        let at = letter.at();
        let is_after = |since: SystemTime| at.is_none_or(|at| at >= since);
        let is_before = |until: SystemTime| at.is_none_or(|at| at < until);
        is_any(&self.reason, Some(letter.reason()))
            && is_any(&self.destination, letter.destination())
            && is_any(&self.source, Some(letter.source()))
            && is_named
            && self.since.is_none_or(|since| is_after(since.into()))
            && self.until.is_none_or(|until| is_before(until.into()))
    }

    /// In words, for a question; empty for all letters.
    pub(super) fn in_words(&self) -> String {
        let mut words = Vec::new();
        let mut add = |name: &str, values: &[String]| {
            if !values.is_empty() {
                words.push(format!("{name} {}", values.join(" or ")));
            }
        };
        add("reason", &self.reason);
        add("destination", &self.destination);
        add("source", &self.source);
        add("event", &self.event_id);
        add("since", &self.since.map(|at| at.to_string()).into_iter().collect::<Vec<_>>());
        add("until", &self.until.map(|at| at.to_string()).into_iter().collect::<Vec<_>>());
        words.join(", ")
    }
}

#[cfg(test)]
mod tests {
    use aws_sdk_sqs::types::{Message, MessageAttributeValue};
    use clap::Parser as _;

    use super::*;

    #[derive(clap::Parser)]
    struct Arguments {
        #[command(flatten)]
        which: WhichArgs,
    }

    fn which(line: &str) -> WhichArgs {
        let arguments = std::iter::once("dlq").chain(line.split_whitespace());
        Arguments::try_parse_from(arguments).unwrap_or_else(|error| panic!("{line}: {error}")).which
    }

    fn message(words: Option<&str>) -> DeadLetterMessage {
        let message = Message::builder().message_id("m-1").receipt_handle("h").body("{}");
        let value = |words: &str| {
            let value = MessageAttributeValue::builder().data_type("String").string_value(words);
            value.build().unwrap()
        };
        let message = match words {
            Some(words) => message.message_attributes("tributary.letter", value(words)),
            None => message,
        };
        DeadLetterMessage::read(message.build()).unwrap()
    }

    const LETTER: &str = r#"{"reason":"not_json","event_id":"e-1","destination":"lake",
        "dead_lettered_at":"2026-01-02T03:04:05Z","about":{"source":"audit"}}"#;

    #[test]
    fn options_of_one_kind_are_alternatives_and_kinds_add_up() {
        for (line, is_wanted) in [
            ("", true),
            ("--reason not_json", true),
            ("--reason no_id --reason not_json", true),
            ("--reason no_id", false),
            ("--reason not_json --destination other", false),
            ("--destination lake --source audit", true),
            ("--source other", false),
            ("--event-id e-1", true),
            ("--event-id m-1", true),
            ("--event-id e-2", false),
            ("--since 2026-01-02T03:04:05Z", true),
            ("--since 2026-01-02T03:04:06Z", false),
            ("--until 2026-01-02T03:04:05Z", false),
            ("--until 2026-01-02T04:04:05+01:00", false),
            ("--until 2026-01-02T03:04:06Z", true),
        ] {
            assert_eq!(which(line).wants(&message(Some(LETTER))), is_wanted, "{line}");
        }
        assert!(Arguments::try_parse_from(["dlq", "--reason", "bad"]).is_err());
    }

    #[test]
    fn what_the_queue_moved_is_told_from_letters_and_from_letters_that_nobody_can_read() {
        let moved = message(None);
        assert_eq!((moved.reason(), moved.event_id()), ("moved_by_queue", None));
        assert!(which("--reason moved_by_queue").wants(&moved));
        assert!(!which("--destination none").wants(&moved), "it never had one");
        let unreadable = message(Some("no JSON"));
        assert_eq!(unreadable.reason(), "unknown");
        assert!(unreadable.cure().contains("docs/dead-letters.md"));
    }

    #[test]
    fn a_letter_of_any_length_has_a_short_summary() {
        let words = serde_json::json!({ "detail": "é".repeat(400_000), "event_id": "x".repeat(9_000) });
        let summary = message(Some(&words.to_string())).summary();
        assert!(summary.detail.len() <= 1_024 && summary.event_id.unwrap().len() <= 1_024);
    }
}
