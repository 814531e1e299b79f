//! What is ready for a lane and waits for its turn. In: deliveries from the stages before. Out: the same in their
//! order, without those that were given back while the lane was crowded.

use std::{collections::VecDeque, mem::take};

use tokio::sync::mpsc;

use super::Entrance;
use crate::{event::ReadyEvent, receive::Delivery};

/// Holds as much as the room allows.
pub(super) struct Waiting {
    arriving: mpsc::UnboundedReceiver<Delivery<ReadyEvent>>,
    /// Arrived before all others, and stayed when others were given back.
    stayed: VecDeque<Delivery<ReadyEvent>>,
}

impl Waiting {
    pub(super) fn new(arriving: mpsc::UnboundedReceiver<Delivery<ReadyEvent>>) -> Self {
        Self { arriving, stayed: VecDeque::new() }
    }

    /// `None` once nothing will come any more. Given up half-way, it loses nothing.
    pub(super) async fn next(&mut self) -> Option<Delivery<ReadyEvent>> {
        match self.stayed.pop_front() {
            Some(delivery) => Some(delivery),
            None => self.arriving.recv().await,
        }
    }

    /// Gives back what has no place in a crowded lane.
    pub(super) fn make_room(&mut self, entrance: &Entrance) {
        if !entrance.is_crowded() {
            return;
        }
        while let Ok(delivery) = self.arriving.try_recv() {
            self.stayed.push_back(delivery);
        }
        self.stayed =
            take(&mut self.stayed).into_iter().filter_map(|delivery| entrance.keep(delivery)).collect();
    }
}
