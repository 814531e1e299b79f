//! Stage 3, identify. In: `RawEvent`. Out: `IdentifiedEvent`. Next: dedupe.

/// The formats that can be mapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// Already in the integration schema.
    Lake,
    /// A native CloudTrail record.
    CloudTrail,
}
