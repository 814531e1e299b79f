//! The calls of one lane that are under way. In: a call, and the bytes of the room that it holds. Out: how many calls
//! there are, and what they hold together.

use tokio::task::JoinSet;

use crate::tasks::joined;

/// The calls under way, and what they hold.
#[derive(Default)]
pub(super) struct Calls {
    running: JoinSet<usize>,
    bytes: usize,
}

impl Calls {
    pub(super) fn start(&mut self, bytes: usize, call: impl Future<Output = ()> + Send + 'static) {
        self.bytes += bytes;
        self.running.spawn(async move {
            call.await;
            bytes
        });
    }

    /// Waits until one of them has ended.
    pub(super) async fn next_ended(&mut self) {
        self.bytes -= joined(self.running.join_next().await).unwrap_or(0);
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn len(&self) -> usize {
        self.running.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.running.is_empty()
    }
}
