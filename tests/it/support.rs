//! What the tests share.

pub(crate) mod local;
pub(crate) mod python;
