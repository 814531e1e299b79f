//! Golden cases: an event, and what is expected to become of it. In: the text of a case. Out: what differs.
//!
//! `{"input": …, "format": …, "message": {"attributes": …, "group": …, "source": …}, "outcome": …, "reason": …,
//! "event": …}`: the input is an event, or a text that is the body of a message; `format` is needed for formats that
//! are not told by content.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Formats;
use crate::{
    config::Oversize,
    explain::{Circumstances, Explanation, Verdict, explain},
    receive::About,
    redact::Redaction,
    route::{Route, Unmatched},
};

/// Any account: cases need not say one.
const ACCOUNT: &str = "111122223333";
/// Members of the event data that a case may leave out, because they do not depend on the format.
const OPTIONAL: [&str; 2] = ["recipientAccountId", "UID"];

/// One case.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    /// The event, or the body of a message as a text.
    pub input: Value,
    /// Overrules the content.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<String>,
    /// What came beside the body.
    #[serde(default, skip_serializing_if = "Beside::is_empty")]
    pub message: Beside,
    /// How it ends.
    pub outcome: Verdict,
    /// The code of the dead letter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The event data as the lake gets it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event: Option<Value>,
}

/// What came beside the body of a message.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Beside {
    /// Message attributes by name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub attributes: BTreeMap<String, String>,
    /// The message group.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// The queue's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
}

impl Beside {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl Case {
    /// What differs from what is expected, a sentence each.
    pub fn differences(&self, formats: &Formats, folder_of: &str) -> Vec<String> {
        let explanation = match self.run(formats) {
            Ok(explanation) => explanation,
            Err(difference) => return vec![difference],
        };
        let mut found = Vec::new();
        let format = explanation.format.as_deref().unwrap_or("none");
        if formats.get(folder_of).is_some() && explanation.format.is_some() && format != folder_of {
            found.push(format!("the format is {format}, and the case stands in {folder_of}"));
        }
        let reason = explanation.rejection.as_ref().map(|rejection| rejection.reason);
        if explanation.verdict != self.outcome || reason != self.reason.as_deref() {
            let said = |outcome: Verdict, reason: Option<&str>| {
                format!("{outcome:?} {}", reason.unwrap_or_default())
            };
            let (expected, got) =
                (said(self.outcome, self.reason.as_deref()), said(explanation.verdict, reason));
            let detail = explanation.rejection.as_ref().map_or("", |rejection| &rejection.detail);
            found.push(format!("outcome: expected {}, got {} {detail}", expected.trim(), got.trim()));
        }
        if let (Some(expected), Some(got)) = (&self.event, event_of(&explanation)) {
            compare("", expected, &without_optional(got, expected), &mut found);
        }
        found
    }

    /// The same case with what becomes of its input now.
    ///
    /// # Errors
    /// The input is not one event.
    pub fn updated(&self, formats: &Formats) -> Result<Self, String> {
        let explanation = self.run(formats)?;
        let keep = self.event.clone().unwrap_or_default();
        Ok(Self {
            outcome: explanation.verdict,
            reason: explanation.rejection.as_ref().map(|rejection| rejection.reason.to_owned()),
            event: event_of(&explanation).map(|event| without_optional(event, &keep)),
            ..self.clone()
        })
    }

    fn run(&self, formats: &Formats) -> Result<Explanation, String> {
        let body = match &self.input {
            Value::String(body) => body.clone(),
            event => event.to_string(),
        };
        let known = |name: &String| {
            formats
                .get(name)
                .ok_or_else(|| format!("{name} is no format; there are {}", formats.names().join(", ")))
        };
        let fixed = self.format.as_ref().map(known).transpose()?;
        let about = About {
            source: self.message.source.clone().unwrap_or_default().into(),
            group: self.message.group.as_deref().map(Into::into),
            attributes: self.message.attributes.clone(),
            ..About::default()
        };
        let circumstances = Circumstances {
            recipient_account: ACCOUNT,
            oversize: Oversize::Move,
            formats,
            fixed: fixed.as_ref(),
            format_attribute: None,
            about: &about,
            route: &Route::default(),
            others: &[],
            unmatched: Unmatched::DeadLetter,
            // What a mapping makes of the event is shown whole.
            redaction: &Redaction { masks_known: false, ..Redaction::default() },
        };
        let mut explanations = explain(body.into(), &circumstances);
        match (explanations.len(), explanations.pop()) {
            (1, Some(explanation)) => Ok(explanation),
            (count, _) => Err(format!("the input holds {count} events, and a case is about one")),
        }
    }
}

fn event_of(explanation: &Explanation) -> Option<Value> {
    let entry = explanation.entry.as_ref()?;
    serde_json::from_str(entry.event_data.get()).ok()
}

/// Members that nobody asked for and that do not depend on the format say nothing about it.
fn without_optional(mut got: Value, expected: &Value) -> Value {
    if let Some(members) = got.as_object_mut() {
        members.retain(|name, _| !OPTIONAL.contains(&name.as_str()) || expected.get(name).is_some());
    }
    got
}

/// Names each place in which two values differ.
fn compare(place: &str, expected: &Value, got: &Value, found: &mut Vec<String>) {
    match (expected, got) {
        (Value::Object(expected), Value::Object(got)) => {
            for (name, expected) in expected {
                match got.get(name) {
                    Some(got) => compare(&format!("{place}.{name}"), expected, got, found),
                    None => found.push(format!("{place}.{name}: expected {expected}, got nothing")),
                }
            }
            for (name, got) in got.iter().filter(|(name, _)| !expected.contains_key(*name)) {
                found.push(format!("{place}.{name}: expected nothing, got {got}"));
            }
        }
        (expected, got) if expected != got => found.push(format!("{place}: expected {expected}, got {got}")),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn case(value: Value) -> Case {
        serde_json::from_value(value).unwrap()
    }

    fn lake(name: &str) -> Value {
        json!({"version": "1", "userIdentity": {"type": "User", "principalId": "p"}, "eventSource": "s",
               "eventName": name, "eventTime": "2026-01-02T03:04:05Z", "UID": "u"})
    }

    #[test]
    fn a_case_is_passed_where_nothing_differs_and_fails_with_every_place_that_does() {
        let formats = Formats::built_in();
        let good = json!({"input": lake("Login"), "outcome": "publish", "event": lake("Login")});
        assert_eq!(case(good).differences(&formats, "lake"), Vec::<String>::new());

        let mut wrong = lake("Logout");
        wrong["more"] = json!(1);
        let bad = json!({"input": lake("Login"), "outcome": "publish", "event": wrong});
        let said = case(bad).differences(&formats, "cloudtrail");
        assert_eq!(
            said,
            [
                "the format is lake, and the case stands in cloudtrail",
                ".eventName: expected \"Logout\", got \"Login\"",
                ".more: expected 1, got nothing",
            ]
        );
    }

    #[test]
    fn outcome_and_reason_are_compared() {
        let formats = Formats::built_in();
        let rejected = json!({"input": {"hello": 1}, "outcome": "publish"});
        let said = case(rejected).differences(&formats, "");
        assert!(said[0].starts_with("outcome: expected Publish, got DeadLetter unknown_format"), "{said:?}");
        let filtered = json!({"input": "{\"Service\":\"Amazon S3\",\"Event\":\"s3:TestEvent\"}",
                              "outcome": "publish"});
        assert_eq!(case(filtered).differences(&formats, "").len(), 1);
        let unknown = json!({"input": lake("Login"), "format": "nosuch", "outcome": "publish"});
        assert!(case(unknown).differences(&formats, "")[0].starts_with("nosuch is no format"));
        let two = json!({"input": [lake("Login"), lake("Login")], "outcome": "publish"});
        assert!(case(two).differences(&formats, "")[0].contains("holds 2 events"));
    }

    #[test]
    fn updating_writes_what_becomes_of_the_input() {
        let formats = Formats::built_in();
        let updated = case(json!({"input": lake("Login"), "outcome": "dead_letter", "reason": "bad_time"}))
            .updated(&formats)
            .unwrap();
        assert_eq!((updated.outcome, updated.reason.as_deref()), (Verdict::Publish, None));
        assert_eq!(updated.event.as_ref().unwrap()["eventName"], "Login");
        assert!(updated.differences(&formats, "lake").is_empty());
    }
}
