//! One object while it is read. In: where it is. Out: its records, one after the other.
//!
//! A connection that breaks is opened again at the byte where it broke, and only if the object is still the same: no
//! record is read twice, and none is made of two objects.

use std::{sync::Arc, time::Duration};

use bytes::{Buf as _, Bytes};
use tokio::time::{sleep, timeout};
use tracing::debug;

use super::{
    ObjectBody, ObjectError, ObjectStore, OpenObject,
    frames::{Frame, Frames},
    inflate::Inflate,
};
use crate::{
    decode::{ObjectRef, Sum},
    failure::CallError,
    intervals::Intervals,
};

/// Tries in a row that brought nothing, before the message is given back.
const TRIES_MAX: u32 = 6;
/// A connection that brings nothing for so long is taken for broken.
const SILENCE_MAX: Duration = Duration::from_secs(30);

/// Why the next record could not be read.
#[derive(Debug)]
pub(super) enum Stopped {
    /// It could not be fetched. Asking again goes on where it stopped.
    Fetch(ObjectError),
    /// What was fetched is damaged from here on. The text says how.
    Broken(String),
}

/// One object.
pub(super) struct Reading {
    store: Arc<dyn ObjectStore>,
    object: ObjectRef,
    /// `None` until it is opened, and after the connection broke.
    body: Option<Box<dyn ObjectBody>>,
    etag: Option<String>,
    /// As stored; known once it was opened.
    bytes: u64,
    /// Bytes that arrived.
    arrived: u64,
    /// Arrived, and not unpacked yet.
    packed: Bytes,
    inflate: Inflate,
    frames: Frames,
    /// Nothing more is to come; perhaps because of this damage.
    end: Option<Result<(), String>>,
    /// What arrived of an object that is read as a whole.
    whole: Vec<u8>,
    intervals: Intervals,
    failures: u32,
}

impl Reading {
    pub(super) fn new(store: Arc<dyn ObjectStore>, object: ObjectRef) -> Self {
        Self {
            store,
            object,
            body: None,
            etag: None,
            bytes: 0,
            arrived: 0,
            packed: Bytes::new(),
            inflate: Inflate::new(),
            frames: Frames::new(),
            end: None,
            whole: Vec::new(),
            intervals: Intervals::for_calls(),
            failures: 0,
        }
    }

    /// How many bytes of the unpacked text were passed.
    pub(super) fn passed(&self) -> u64 {
        self.frames.passed()
    }

    /// The next record, or the length of one that is too long; `None` at the end of a whole object.
    pub(super) async fn next(&mut self) -> Result<Option<Frame>, Stopped> {
        loop {
            match self.frames.next() {
                Some(Frame::CutOff) => {
                    return Err(Stopped::Broken("it ends within a record or an array".into()));
                }
                Some(Frame::NotJson) => return Err(Stopped::Broken("it does not begin as JSON does".into())),
                Some(frame) => return Ok(Some(frame)),
                None => {}
            }
            match self.end.clone() {
                Some(Ok(())) => return Ok(None),
                Some(Err(damage)) => return Err(Stopped::Broken(damage)),
                None => self.unpack_more().await.map_err(Stopped::Fetch)?,
            }
        }
    }

    /// All its bytes as they are stored, if they have this sum and are no more than that many.
    pub(super) async fn whole(&mut self, sum: Sum, bytes_max: u64) -> Result<Bytes, Stopped> {
        while self.fetch().await.map_err(Stopped::Fetch)? {
            self.whole.extend_from_slice(&std::mem::take(&mut self.packed));
            if self.arrived > bytes_max {
                let damage = format!("it has more than the {bytes_max} bytes that its letter says");
                return Err(Stopped::Broken(damage));
            }
        }
        let whole = Bytes::from(std::mem::take(&mut self.whole));
        if Sum::of(&whole) != sum {
            return Err(Stopped::Broken("its SHA-256 is not the one that its letter says".into()));
        }
        Ok(whole)
    }

    /// Records that came out before the damage are found before it is told.
    async fn unpack_more(&mut self) -> Result<(), ObjectError> {
        if self.packed.is_empty() && !self.fetch().await? {
            let ended = self.inflate.end(self.frames.pieces()).map_err(|broken| broken.to_string());
            if ended.is_ok() {
                self.frames.end();
            }
            self.end = Some(ended);
            return Ok(());
        }
        match self.inflate.push(&self.packed, self.frames.pieces()) {
            Ok(taken) => self.packed.advance(taken),
            Err(broken) => self.end = Some(Err(broken.to_string())),
        }
        Ok(())
    }

    /// Waits for more bytes. Whether there are any.
    async fn fetch(&mut self) -> Result<bool, ObjectError> {
        loop {
            let Some(body) = &mut self.body else {
                self.open().await?;
                continue;
            };
            let silence = || CallError::transient("timeout", "the store sends nothing");
            let cut_off = CallError::transient("cut_off", "the connection ended before the object did");
            let failed = match timeout(SILENCE_MAX, body.next()).await {
                Ok(Some(Ok(bytes))) => {
                    self.arrived += bytes.len() as u64;
                    self.failures = 0;
                    self.intervals.reset();
                    self.packed = bytes;
                    return Ok(true);
                }
                Ok(None) if self.arrived >= self.bytes => return Ok(false),
                Ok(None) => cut_off,
                Ok(Some(Err(error))) => error,
                Err(_) => silence(),
            };
            self.body = None;
            if self.arrived >= self.bytes {
                // Every byte came, and then the store's checksum did not fit them.
                return Err(failed.into());
            }
            self.wait_after(failed).await?;
        }
    }

    async fn open(&mut self) -> Result<(), ObjectError> {
        match self.store.open(&self.object, self.arrived, self.etag.as_deref()).await {
            Ok(OpenObject { bytes, etag, body }) => {
                if self.arrived == 0 {
                    (self.bytes, self.etag) = (bytes, etag);
                }
                self.body = Some(body);
                Ok(())
            }
            Err(ObjectError::Call(error)) if error.is_transient() => self.wait_after(error).await,
            Err(error) => Err(error),
        }
    }

    async fn wait_after(&mut self, error: CallError) -> Result<(), ObjectError> {
        self.failures += 1;
        if self.failures >= TRIES_MAX {
            self.failures = 0;
            return Err(error.into());
        }
        debug!(stage = "receive", object = %self.object, arrived = self.arrived, code = error.code(), %error,
            "could not read on, will try again");
        sleep(self.intervals.next_interval()).await;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
