//! Tasks have owners. A bug in one ends the process: the queue still has every message.

use tokio::task::JoinError;

/// What a joined task returned; `None` if it was aborted or there was none. A panic goes on in the caller.
pub(crate) fn joined<T>(ended: Option<Result<T, JoinError>>) -> Option<T> {
    match ended? {
        Ok(value) => Some(value),
        Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        Err(_aborted) => None,
    }
}
