use crate::snapshot::Delta;

/// A change that a store has made. It is durable already.
#[derive(Debug)]
pub struct Changed<T> {
    /// What the caller asked for.
    pub value: T,
    /// The catalog's generation after the change. A snapshot of the generation just below differs by `delta` alone.
    pub generation: u64,
    /// What a snapshot shows differently.
    pub delta: Delta,
}
