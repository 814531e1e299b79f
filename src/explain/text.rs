//! An explanation for people; scripts take the JSON.

use std::fmt;

use super::{Explanation, FieldLines, MappedBy, RejectionText};
use crate::json;

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.rejection {
            None => writeln!(f, "event {}: would be {}", self.position, self.verdict.said())?,
            Some(RejectionText { stage, reason, detail }) => {
                writeln!(f, "event {}: would be dead-lettered at {stage}: {reason}", self.position)?;
                writeln!(f, "  {detail}")?;
            }
        }
        let mut line = |name: &str, value: Option<&str>| match value {
            Some(value) => writeln!(f, "  {name:<16}{value}"),
            None => Ok(()),
        };
        line("program said", self.program_said.as_deref())?;
        line("format", self.format.as_deref())?;
        // Escaped, because an id can hold what a terminal would obey.
        let declared = self.declared_id.as_deref().map(|id| id.escape_debug().to_string());
        line("declared id", declared.as_deref())?;
        line("wire id", self.wire_id.as_deref())?;
        line("content hash", self.content_hash.as_deref())?;
        line("received", Some(&format!("{} bytes", self.received_bytes)))?;
        if let Some(entry) = &self.entry {
            let sizes = format!("{} bytes, {} in the request", entry.event_data_bytes, entry.wire_bytes);
            line("event data", Some(&sizes))?;
            line("checksum", Some(&entry.checksum))?;
        }
        self.rules.iter().try_for_each(|rule| line("rule", Some(rule)))?;
        if let Some(MappedBy { mapping, fields }) = &self.mapped_by {
            line("mapping", Some(mapping))?;
            for FieldLines { field, lines } in fields.iter().filter(|field| !field.lines.is_empty()) {
                let lines: Vec<_> = lines.iter().map(ToString::to_string).collect();
                line("", Some(&format!("{field:<28}line {}", lines.join(" or "))))?;
            }
        }
        match &self.entry {
            Some(entry) => writeln!(f, "{}", json::pretty(entry.event_data.get())),
            None => Ok(()),
        }
    }
}
