//! A store that does as a test says.

use std::sync::{Arc, Mutex, MutexGuard};

use super::*;

/// What happens when an object is opened.
#[derive(Clone, Debug)]
pub(super) enum Act {
    /// It is sent whole.
    Send,
    /// The connection breaks after so many bytes.
    Break(usize),
    /// It ends after so many bytes as if that were all.
    End(usize),
    /// After so many bytes nothing more comes.
    Hang(usize),
    /// It is not opened.
    Fail(ObjectError),
}

/// One opening: the key, from which byte, and of which object.
pub(super) type Opening = (String, u64, Option<String>);

type Script = Box<dyn Fn(usize, &str) -> Act + Send + Sync>;

pub(super) struct Scripted {
    objects: Vec<(String, Vec<u8>)>,
    script: Script,
    opened: Mutex<Vec<Opening>>,
}

impl Scripted {
    /// Holds these objects; the script is asked with the number of the opening and the key.
    pub(super) fn new(
        objects: impl IntoIterator<Item = (&'static str, Vec<u8>)>,
        script: impl Fn(usize, &str) -> Act + Send + Sync + 'static,
    ) -> Arc<Self> {
        let objects = objects.into_iter().map(|(key, bytes)| (key.to_owned(), bytes)).collect();
        Arc::new(Self { objects, script: Box::new(script), opened: Mutex::default() })
    }

    pub(super) fn opened(&self) -> MutexGuard<'_, Vec<Opening>> {
        self.opened.lock().unwrap()
    }
}

pub(super) fn object(key: &str) -> ObjectRef {
    ObjectRef { bucket: "logs".to_owned(), key: key.to_owned(), version: None, bytes: None, whole: None }
}

pub(super) fn denied() -> Act {
    Act::Fail(CallError::misconfigured("AccessDenied", "allow it").into())
}

struct Bytewise {
    left: Vec<u8>,
    act: Act,
}

#[async_trait]
impl ObjectBody for Bytewise {
    async fn next(&mut self) -> Option<Result<Bytes, CallError>> {
        let piece = 7.min(self.left.len());
        let piece = match &mut self.act {
            Act::Break(0) => return Some(Err(CallError::transient("no_reply", "broke"))),
            Act::End(0) => return None,
            Act::Hang(0) => std::future::pending().await,
            Act::Break(bytes) | Act::End(bytes) | Act::Hang(bytes) => {
                let piece = piece.min(*bytes);
                *bytes -= piece;
                piece
            }
            Act::Send | Act::Fail(_) => piece,
        };
        (piece > 0).then(|| Ok(self.left.drain(..piece).collect()))
    }
}

#[async_trait]
impl ObjectStore for Scripted {
    async fn open(
        &self,
        object: &ObjectRef,
        from_byte: u64,
        etag: Option<&str>,
    ) -> Result<OpenObject, ObjectError> {
        let nth = {
            let mut opened = self.opened();
            opened.push((object.key.clone(), from_byte, etag.map(str::to_owned)));
            opened.len() - 1
        };
        let act = (self.script)(nth, &object.key);
        if let Act::Fail(error) = act {
            return Err(error);
        }
        let found = self.objects.iter().find(|(key, _)| *key == object.key);
        let (_, bytes) = found.ok_or(ObjectError::Missing)?;
        let left = bytes.get(usize::try_from(from_byte).unwrap()..).ok_or(ObjectError::Changed)?.to_vec();
        let body = Box::new(Bytewise { left, act });
        Ok(OpenObject { bytes: bytes.len() as u64, etag: Some("\"one\"".to_owned()), body })
    }
}
