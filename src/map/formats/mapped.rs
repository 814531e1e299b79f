//! Events of a format that is written in jq. In: the event. Out: what its mapping makes of it, which is an event of the
//! integration schema and is taken as such.

use bytestring::ByteString;

use super::lake;
use crate::{
    event::{EventData, IdentifiedEvent, Member},
    failure::{Reason, Rejection},
    formats::Mapping,
    jq::Input,
    json,
    receive::About,
};

/// The member that names the event; the id stands for it where the mapping gives none.
const UID: &str = "UID";

pub(in crate::map) fn map(
    event: &IdentifiedEvent,
    mapping: &Mapping,
    about: &About,
    mapped: &mut EventData,
) -> Result<(), Rejection> {
    let input = Input::of(event, about);
    let made = mapping.event.json(&input).map_err(|error| error.rejection)?;
    let mut members = made.as_ref().and_then(json::members).ok_or_else(no_event)?;
    members.retain(|member| &*member.json != "null");
    if !members.iter().any(|member| &*member.key == UID) {
        members.push(Member { key: ByteString::from_static(UID), json: json::quote(event.id.declared()) });
    }
    lake::map(&members, mapped)
}

fn no_event() -> Rejection {
    Rejection::new(Reason::MappingFailed, "the format's mapping makes no object of this event")
}
