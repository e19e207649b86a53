//! Request bodies and large answers, with what they take of the memory for bodies.

use crate::budget::Reservation;
use crate::decode::{DecodeError, Encoding, RawBody};
use bytes::Bytes;

/// Larger bodies are worked on by the threads for large requests.
const LARGE_BODY_BYTES: usize = 64 << 10;

/// Larger answers count against the memory for bodies until they are written.
const LARGE_ANSWER_BYTES: usize = 64 << 10;

/// The memory for request bodies is used up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the memory for request bodies is used up")]
pub struct OutOfBodyMemory;

/// Why a body cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum BodyFault {
    /// It cannot be unpacked.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// It does not fit into memory now.
    #[error(transparent)]
    Memory(#[from] OutOfBodyMemory),
}

/// A body as it was sent, and its share of the memory for bodies.
pub struct HeldBody {
    raw: RawBody,
    reservation: Reservation,
}

impl HeldBody {
    /// A body whose bytes are counted in `reservation`.
    pub fn new(raw: RawBody, reservation: Reservation) -> HeldBody {
        HeldBody { raw, reservation }
    }

    /// Its length as it was sent.
    pub fn sent_bytes(&self) -> usize {
        self.raw.bytes.len()
    }

    /// Whether working on it takes so long that it needs a thread for large requests.
    pub fn is_large(&self) -> bool {
        self.raw.bytes.len() > LARGE_BODY_BYTES || self.raw.encoding == Encoding::Gzip
    }

    /// The decoded body, with the reservation to be kept as long as it is.
    pub fn decode(self) -> Result<(Bytes, Reservation), BodyFault> {
        let HeldBody { raw, mut reservation } = self;
        let packed = raw.encoding != Encoding::Identity;
        let bytes = raw.decode()?;
        if packed && !reservation.grow(bytes.len()) {
            return Err(OutOfBodyMemory.into());
        }
        Ok((bytes, reservation))
    }
}

/// The bytes of an answer. A large one keeps its share of the memory for bodies until it is dropped: when the last
/// of it is written, or the connection is gone.
pub struct HeldAnswer {
    bytes: Vec<u8>,
    reservation: Option<Reservation>,
}

impl HeldAnswer {
    /// An answer that takes over the reservation of its request. Fails where a large one does not fit into memory.
    pub fn new(bytes: Vec<u8>, mut reservation: Reservation) -> Result<HeldAnswer, OutOfBodyMemory> {
        if bytes.len() <= LARGE_ANSWER_BYTES {
            return Ok(HeldAnswer { bytes, reservation: None });
        }
        if !reservation.grow(bytes.len()) {
            return Err(OutOfBodyMemory);
        }
        Ok(HeldAnswer { bytes, reservation: Some(reservation) })
    }

    /// As bytes that are shared without a copy.
    pub fn into_bytes(self) -> Bytes {
        if self.reservation.is_none() { self.bytes.into() } else { Bytes::from_owner(self) }
    }
}

impl AsRef<[u8]> for HeldAnswer {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}
