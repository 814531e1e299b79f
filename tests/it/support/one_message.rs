//! A queue that holds one message, which is settled by being deleted.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use tokio::time::{Instant, sleep};
use tributary::{
    dead_letter::{DeadLetter, Letter, StoreError},
    failure::CallError,
    receive::{Deadline, Handle, Message, Source},
};

/// The queue.
#[derive(Clone, Default)]
pub(crate) struct OneMessage(Arc<Mutex<Option<Message>>>);

impl OneMessage {
    /// With this body.
    pub(crate) fn new(body: impl Into<Bytes>) -> Self {
        let message = Message {
            handle: Handle { message_id: "m".into(), delivery: 1 },
            body: body.into(),
            is_base64: false,
            attempt: 1,
            sent_at: None,
            deadline: Deadline::new(Instant::now() + Duration::from_hours(1)),
            group: None,
            is_redriven: false,
            about: Arc::default(),
        };
        Self(Arc::new(Mutex::new(Some(message))))
    }
}

#[async_trait]
impl Source for OneMessage {
    async fn receive(&self) -> Result<Vec<Message>, CallError> {
        let message = self.0.lock().expect("no panic").take();
        if message.is_none() {
            sleep(Duration::from_secs(1)).await;
        }
        Ok(message.into_iter().collect())
    }

    async fn ack(&self, handles: &[Handle]) -> Vec<Result<(), CallError>> {
        handles.iter().map(|_| Ok(())).collect()
    }

    async fn give_back(&self, handles: &[(Handle, Duration)]) -> Vec<Result<(), CallError>> {
        handles.iter().map(|_| panic!("nothing is given back")).collect()
    }

    async fn keep_alive(&self) {
        std::future::pending::<()>().await;
    }

    fn batch_max(&self) -> usize {
        10
    }
}

/// For tests in which every event is good.
pub(crate) struct NoLetters;

#[async_trait]
impl DeadLetter for NoLetters {
    async fn store(&self, letters: &[Letter]) -> Vec<Result<(), StoreError>> {
        letters.iter().map(|_| panic!("nothing is dead-lettered")).collect()
    }
}
