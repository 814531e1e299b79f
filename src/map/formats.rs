//! One file for each format that can be mapped. In: an `IdentifiedEvent`. Out: the fields of `EventData`.

pub(super) mod cloudtrail;
pub(super) mod lake;
pub(super) mod mapped;
