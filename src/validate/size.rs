//! Sizes, once every field has its type. In: the event. Out: the event within every size limit, and its bytes.
//!
//! The order, each step only if the one before did not suffice: white space between values goes; members of
//! `requestParameters` and `responseElements` move out until the rest fits; the event is rejected. Nothing in
//! `additionalEventData` can make way, because there is nowhere else to keep it.

use bytestring::ByteString;

use super::{Rule, allow, rule};
use crate::{
    config::Oversize,
    event::{EventData, Field, Member},
    failure::{Reason, Rejection},
    json,
    limits::{ADDITIONAL_BYTES_MAX, EVENT_DATA_BYTES_MAX},
    map::keep,
};

/// Answers the bytes of the serialised event.
pub(super) fn fit(event: &mut EventData, oversize: Oversize) -> Result<usize, Rejection> {
    if let Some(bytes) = fitting_bytes(event) {
        return Ok(bytes);
    }
    compact(event);
    for field in [Field::RequestParameters, Field::ResponseElements] {
        split(event, field, oversize)?;
    }
    let additional = additional_bytes(event);
    if additional > ADDITIONAL_BYTES_MAX {
        return Err(overflow(event, additional, oversize));
    }
    fitting_bytes(event).ok_or_else(|| {
        let sentence =
            format!("the event has {} bytes, more than {EVENT_DATA_BYTES_MAX}", event_bytes(event));
        Rejection::new(Reason::EventTooLarge, sentence)
    })
}

/// The bytes of the event, if it is within every limit.
fn fitting_bytes(event: &EventData) -> Option<usize> {
    let fits = Field::ALL.iter().all(|field| excess(event, *field) == 0);
    let bytes = event_bytes(event);
    (fits && bytes <= EVENT_DATA_BYTES_MAX && additional_bytes(event) <= ADDITIONAL_BYTES_MAX)
        .then_some(bytes)
}

fn event_bytes(event: &EventData) -> usize {
    let mut bytes = 0_usize;
    event.write(&mut bytes);
    bytes
}

fn additional_bytes(event: &EventData) -> usize {
    let mut bytes = 0_usize;
    event.write_additional(&mut bytes);
    bytes
}

/// By how many bytes an object is too large.
fn excess(event: &EventData, field: Field) -> usize {
    match (rule(field), event.fields.get(field)) {
        (Rule::Object { bytes_max }, Some(json)) => json.len().saturating_sub(bytes_max),
        _ => 0,
    }
}

fn compact(event: &mut EventData) {
    let values = event.fields.values_mut();
    let lists = [&mut event.details, &mut event.additional, &mut event.moved, &mut event.unmapped];
    let members = lists.into_iter().flatten().map(|member| &mut member.json);
    let mut has_changed = false;
    for json in values.chain(members) {
        let smaller = json::compact(json);
        has_changed |= smaller.len() < json.len();
        *json = ByteString::from(smaller);
    }
    if has_changed {
        event.notes.push("the event is too large as received: white space between values taken out".into());
    }
}

/// Moves members of an object out until the rest fits: the smallest one that suffices, or else the largest and
/// again.
fn split(event: &mut EventData, field: Field, oversize: Oversize) -> Result<(), Rejection> {
    let mut excess = excess(event, field);
    if excess == 0 {
        return Ok(());
    }
    allow(oversize, field, "is larger than the lake allows")?;
    let members = event.fields.get(field).and_then(json::members).unwrap_or_default();
    let mut by_size: Vec<_> =
        members.iter().map(member_bytes).enumerate().map(|(at, bytes)| (bytes, at)).collect();
    by_size.sort_unstable();
    let mut leaves = vec![false; members.len()];
    while excess > 0 && !by_size.is_empty() {
        let enough = by_size.partition_point(|(bytes, _)| *bytes < excess);
        let (bytes, at) = by_size.remove(enough.min(by_size.len() - 1));
        excess = excess.saturating_sub(bytes);
        leaves[at] = true;
    }
    let (leave, stay): (Vec<_>, Vec<_>) = members.into_iter().zip(leaves).partition(|(_, leaves)| *leaves);
    event.fields.put(field, Some(object(&stay)));
    keep(event, field, object(&leave), "is larger than the lake allows: some members moved");
    Ok(())
}

fn member_bytes(member: &Member) -> usize {
    json::quoted_bytes(&member.key) + member.json.len() + ":,".len()
}

fn object(members: &[(Member, bool)]) -> ByteString {
    let mut out = String::from("{");
    for (at, (member, _)) in members.iter().enumerate() {
        out.push_str(if at > 0 { "," } else { "" });
        json::push_quoted(&mut out, &member.key);
        out.push(':');
        out.push_str(&member.json);
    }
    out.push('}');
    ByteString::from(out)
}

fn overflow(event: &EventData, bytes: usize, oversize: Oversize) -> Rejection {
    let of_the_event: usize = event.additional.iter().map(member_bytes).sum();
    if oversize == Oversize::Reject && of_the_event > ADDITIONAL_BYTES_MAX {
        let sentence = format!("additionalEventData has more than {ADDITIONAL_BYTES_MAX} bytes");
        return Rejection::new(Reason::FieldRejected, sentence);
    }
    let sentence = format!(
        "additionalEventData would have {bytes} bytes with what was moved there, more than {ADDITIONAL_BYTES_MAX}"
    );
    Rejection::new(Reason::OverflowTooLarge, sentence)
}
