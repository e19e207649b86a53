//! Request bodies and large answers, counted against the memory for bodies.

use crate::budget::Reservation;
use crate::decode::{DecodeError, RawBody};
use bytes::Bytes;

/// Threads for large requests process larger bodies.
const LARGE_BODY_BYTES: usize = 64 << 10;

/// Larger answers count against the memory for bodies until they are written.
const LARGE_ANSWER_BYTES: usize = 64 << 10;

/// The memory for request bodies is used up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the memory for request bodies is used up")]
pub struct OutOfBodyMemory;

/// Why a body cannot be decoded.
#[derive(Debug, thiserror::Error)]
pub enum BodyFault {
    /// The body cannot be unpacked.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// The memory for bodies has no room for it now.
    #[error(transparent)]
    Memory(#[from] OutOfBodyMemory),
}

/// A body as it was sent, and its reservation in the memory for bodies.
pub struct HeldBody {
    raw: RawBody,
    reservation: Reservation,
}

impl HeldBody {
    /// A body whose bytes are counted in `reservation`.
    pub fn new(raw: RawBody, reservation: Reservation) -> HeldBody {
        HeldBody { raw, reservation }
    }

    /// Its length on the wire.
    pub fn sent_bytes(&self) -> usize {
        self.raw.bytes.len()
    }

    /// Whether it needs a thread for large requests.
    pub fn is_large(&self) -> bool {
        self.raw.bytes.len() > LARGE_BODY_BYTES || self.raw.is_packed()
    }

    /// The decoded body. The caller keeps the reservation as long as the bytes.
    pub fn decode(self) -> Result<(Bytes, Reservation), BodyFault> {
        let HeldBody { raw, mut reservation } = self;
        let packed = raw.is_packed();
        let bytes = raw.decode()?;
        if packed && !reservation.grow(bytes.len()) {
            return Err(OutOfBodyMemory.into());
        }
        Ok((bytes, reservation))
    }
}

/// The bytes of an answer. A large one keeps its reservation until it is dropped: when all of it is written, or the
/// connection is closed.
pub struct HeldAnswer {
    bytes: Vec<u8>,
    reservation: Option<Reservation>,
}

impl HeldAnswer {
    /// An answer that takes over its request's reservation. Fails if the memory for bodies has no room for it.
    pub fn new(bytes: Vec<u8>, mut reservation: Reservation) -> Result<HeldAnswer, OutOfBodyMemory> {
        if bytes.len() <= LARGE_ANSWER_BYTES {
            return Ok(HeldAnswer { bytes, reservation: None });
        }
        if !reservation.grow(bytes.len()) {
            return Err(OutOfBodyMemory);
        }
        Ok(HeldAnswer { bytes, reservation: Some(reservation) })
    }

    /// The bytes, without a copy.
    pub fn into_bytes(self) -> Bytes {
        if self.reservation.is_none() { self.bytes.into() } else { Bytes::from_owner(self) }
    }
}

impl AsRef<[u8]> for HeldAnswer {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}
