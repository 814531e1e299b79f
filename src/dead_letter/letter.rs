//! What a dead letter says.

use std::{sync::Arc, time::SystemTime};

use bytes::Bytes;

use crate::{
    event::ContentHash,
    failure::{Reason, Rejection},
    receive::{About, Delivery},
};

/// One event that can never be published, whole, and why.
#[derive(Clone)]
pub struct Letter {
    /// The event's own bytes as received, so that sending them again needs no translation.
    pub original: Bytes,
    /// The code.
    pub reason: Reason,
    /// The sentence. Holds no payload.
    pub detail: String,
    /// The declared id, or `<message id>#<position>` where there is none.
    pub event_id: String,
    /// The source's name for the message.
    pub message_id: String,
    /// Which event of the message, from 0.
    pub position: usize,
    /// How often the message had been received.
    pub attempts: u32,
    /// When the producer sent the message.
    pub first_seen: Option<SystemTime>,
    /// See [`ContentHash`]; of the bytes themselves where they are no event.
    pub content_hash: Option<ContentHash>,
    /// The destination that it was on its way to; `none` if it never got that far.
    pub destination: String,
    /// What came beside the event's message: formats and routes may ask for it again.
    pub about: Arc<About>,
}

impl Letter {
    /// The letter for a rejected delivery.
    pub fn new(delivery: &Delivery<Rejection>) -> Self {
        let origin = &delivery.origin;
        let claim = delivery.receipt.claim();
        Self {
            original: origin.original.clone(),
            reason: delivery.event.reason,
            detail: delivery.event.detail.to_string(),
            event_id: claim.map_or_else(|| origin.place(), |claim| claim.key.id.to_string()),
            message_id: origin.message_id.to_string(),
            position: origin.position,
            attempts: origin.attempt,
            first_seen: origin.sent_at,
            content_hash: claim.map(|claim| claim.content_hash),
            destination: delivery.receipt.destination().to_owned(),
            about: origin.about.clone(),
        }
    }
}
