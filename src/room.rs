//! The one place of back-pressure: how many bytes of messages may be under way at once.
//!
//! In: a wish for room before each poll. Out: a [`Permit`] that lives in the receipts and gives the room back when
//! the message is settled. Every queue between the stages holds only what owns a permit, so none needs a bound of
//! its own.

use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicUsize, Ordering},
};

use tokio::sync::Notify;

/// A number of bytes that is shared by all messages under way.
#[derive(Debug)]
pub struct Room {
    bytes_max: usize,
    /// Negative while messages turned out larger than was guessed before the poll.
    free: Mutex<i64>,
    freed: Notify,
}

impl Room {
    /// Room for `bytes_max` bytes.
    pub fn new(bytes_max: usize) -> Arc<Self> {
        Arc::new(Self { bytes_max, free: Mutex::new(signed(bytes_max)), freed: Notify::new() })
    }

    /// Waits until `bytes` are free; a wish for more than there is at all waits for an empty room.
    pub async fn take(self: &Arc<Self>, bytes: usize) -> Permit {
        let wish = bytes.clamp(1, self.bytes_max);
        loop {
            // Registered before the look: room freed in between wakes this waiter.
            let freed = self.freed.notified();
            if self.try_take(wish) {
                return Permit { room: self.clone(), bytes: wish.into() };
            }
            freed.await;
        }
    }

    /// Bytes taken now.
    pub fn taken(&self) -> usize {
        usize::try_from(signed(self.bytes_max) - *self.lock()).unwrap_or(0)
    }

    /// Bytes in all.
    pub fn bytes_max(&self) -> usize {
        self.bytes_max
    }

    fn try_take(&self, bytes: usize) -> bool {
        let mut free = self.lock();
        let fits = *free >= signed(bytes);
        if fits {
            *free -= signed(bytes);
        }
        fits
    }

    fn give_back(&self, bytes: usize) {
        *self.lock() += signed(bytes);
        self.freed.notify_waiters();
    }

    fn lock(&self) -> MutexGuard<'_, i64> {
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Room that is taken; dropping it gives the room back.
#[derive(Debug)]
pub struct Permit {
    room: Arc<Room>,
    bytes: AtomicUsize,
}

impl Permit {
    /// Cuts off a permit for exactly `bytes`. Where the guess was too small the room is overdrawn at once: the
    /// messages are here already, and waiting with them in hand could wait for ourselves.
    #[must_use]
    pub fn split(&mut self, bytes: usize) -> Self {
        let here = self.bytes.get_mut();
        let from_here = bytes.min(*here);
        *here -= from_here;
        *self.room.lock() -= signed(bytes - from_here);
        Self { room: self.room.clone(), bytes: bytes.into() }
    }

    /// Bytes of this permit.
    pub fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Takes more, overdrawing as [`Permit::split`] does.
    pub fn grow(&self, bytes: usize) {
        *self.room.lock() -= signed(bytes);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.room.give_back(*self.bytes.get_mut());
    }
}

fn signed(bytes: usize) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_full_room_makes_the_next_wish_wait_until_room_is_given_back() {
        let room = Room::new(100);
        let first = room.take(80).await;
        assert!(timeout(Duration::from_secs(1), room.take(30)).await.is_err());
        drop(first);
        assert_eq!(timeout(Duration::from_secs(1), room.take(30)).await.map(|permit| permit.bytes()), Ok(30));
    }

    #[tokio::test]
    async fn a_message_larger_than_guessed_overdraws_and_is_paid_back() {
        let room = Room::new(100);
        let mut guess = room.take(50).await;
        let message = guess.split(180);
        drop(guess);
        assert_eq!(room.taken(), 180);
        drop(message);
        assert_eq!(room.taken(), 0);
    }

    #[tokio::test]
    async fn a_wish_beyond_the_whole_room_is_granted_when_the_room_is_empty() {
        let room = Room::new(10);
        assert_eq!(room.take(1_000).await.bytes(), 10);
    }
}
