use crate::{AccountsShown, Segment};
use ia_model::SegmentId;

/// A change that a store has made, durable already, and what moves with it.
#[derive(Debug)]
pub struct Changed<T> {
    /// What the caller asked for.
    pub value: T,
    /// The catalog's generation after the change. When the snapshot before it had the one just below, nothing but
    /// `delta` lies between the two.
    pub generation: u64,
    /// What a snapshot shows differently.
    pub delta: Delta,
}

/// What a change means for a snapshot.
#[derive(Debug)]
pub enum Delta {
    /// These segments are so now; `None` for one that is gone.
    Segments(Vec<(SegmentId, Option<Segment>)>),
    /// Members, access and sharing are so now, and logins and tokens are to be read again.
    Accounts(AccountsShown),
    /// Nothing; logins and tokens are to be read again.
    Logins,
}
