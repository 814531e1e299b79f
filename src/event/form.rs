//! The JSON form of event data: measured before it is allowed, written once after. In: `EventData`. Out: text,
//! or only its length. One function does both, so that they cannot differ.

use super::{EventData, Field, Member, OWN_KEY};
use crate::json;

/// Where the form goes.
pub(crate) trait Form {
    /// Text as it is.
    fn push(&mut self, text: &str);

    /// A string, in quotes and escaped.
    fn push_quoted(&mut self, text: &str);
}

impl Form for String {
    fn push(&mut self, text: &str) {
        self.push_str(text);
    }

    fn push_quoted(&mut self, text: &str) {
        json::push_quoted(self, text);
    }
}

/// Counts bytes and keeps none.
impl Form for usize {
    fn push(&mut self, text: &str) {
        *self += text.len();
    }

    fn push_quoted(&mut self, text: &str) {
        *self += json::quoted_bytes(text);
    }
}

impl EventData {
    /// The event data as the lake receives it.
    pub(crate) fn write(&self, out: &mut impl Form) {
        out.push("{\"version\":");
        self.value(out, Field::Version);
        out.push(",\"userIdentity\":{\"type\":");
        self.value(out, Field::UserIdentityType);
        out.push(",\"principalId\":");
        self.value(out, Field::UserIdentityPrincipalId);
        if self.fields.get(Field::UserIdentityDetails).is_some() {
            out.push(",\"details\":");
            self.value(out, Field::UserIdentityDetails);
        } else if !self.details.is_empty() {
            out.push(",\"details\":");
            object(out, &self.details);
        }
        out.push("}");
        for field in Field::ALL.iter().skip(Field::UserAgent as usize) {
            if let Some(value) = self.fields.get(*field) {
                out.push(",\"");
                out.push(field.name());
                out.push("\":");
                out.push(value);
            }
        }
        if self.has_additional() {
            out.push(",\"additionalEventData\":");
            self.write_additional(out);
        }
        out.push("}");
    }

    /// The value of `additionalEventData`: the event's own members, and what Tributary keeps under its name.
    pub(crate) fn write_additional(&self, out: &mut impl Form) {
        out.push("{");
        for (at, member) in self.additional.iter().enumerate() {
            write_member(out, at, member);
        }
        if self.has_own() {
            out.push(if self.additional.is_empty() { "\"" } else { ",\"" });
            out.push(OWN_KEY);
            out.push("\":{");
            self.write_own(out);
            out.push("}");
        }
        out.push("}");
    }

    fn write_own(&self, out: &mut impl Form) {
        let mut comma = "";
        for (name, members) in [("moved", &self.moved), ("unmapped", &self.unmapped)] {
            if !members.is_empty() {
                out.push(comma);
                out.push_quoted(name);
                out.push(":");
                object(out, members);
                comma = ",";
            }
        }
        if let Some(from) = self.principal_id_from {
            out.push(comma);
            out.push("\"principalIdFrom\":");
            out.push_quoted(from);
        }
    }

    fn has_additional(&self) -> bool {
        !self.additional.is_empty() || self.has_own()
    }

    fn has_own(&self) -> bool {
        !self.moved.is_empty() || !self.unmapped.is_empty() || self.principal_id_from.is_some()
    }

    fn value(&self, out: &mut impl Form, field: Field) {
        // Required, so present once stage 6 is passed; `null` keeps the text JSON while it is only measured.
        out.push(self.fields.get(field).map_or("null", |json| json));
    }
}

fn object(out: &mut impl Form, members: &[Member]) {
    out.push("{");
    for (at, member) in members.iter().enumerate() {
        write_member(out, at, member);
    }
    out.push("}");
}

fn write_member(out: &mut impl Form, at: usize, member: &Member) {
    if at > 0 {
        out.push(",");
    }
    out.push_quoted(&member.key);
    out.push(":");
    out.push(&member.json);
}
