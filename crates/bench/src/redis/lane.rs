//! A connection to Redis.

use super::calls::{Batch, Expected};
use super::resp::{self, Reply};
use crate::drive::{Failure, Lane};
use crate::error::Error;
use bytes::{Buf, BytesMut};
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// How much is read at once.
const READ_BYTES: usize = 64 << 10;

/// Where Redis listens, and what came back from there.
#[derive(Debug, Clone)]
pub(crate) struct RedisTarget {
    /// Its address.
    pub(crate) address: SocketAddr,
    /// Memberships that began: fields that were new, as the replies to HSET count them.
    pub(crate) began: Arc<AtomicU64>,
}

impl RedisTarget {
    /// Nothing came back yet.
    pub(crate) fn new(address: SocketAddr) -> RedisTarget {
        RedisTarget { address, began: Arc::default() }
    }
}

/// One connection, on which batches of commands are sent one after the other.
#[derive(Debug)]
pub(crate) struct RedisLane {
    stream: TcpStream,
    received: BytesMut,
    began: Arc<AtomicU64>,
}

impl Lane for RedisLane {
    type Target = RedisTarget;
    type Call = Batch;

    async fn open(target: &RedisTarget) -> Result<RedisLane, Error> {
        let address = target.address;
        let connecting = async || {
            let stream = TcpStream::connect(address).await?;
            stream.set_nodelay(true)?;
            Ok(stream)
        };
        let stream = connecting().await.map_err(Error::io(format!("connect to Redis at {address}")))?;
        let began = Arc::clone(&target.began);
        Ok(RedisLane { stream, received: BytesMut::with_capacity(READ_BYTES), began })
    }

    async fn ask(&mut self, batch: &Batch) -> Result<(), Failure> {
        let broken = |error| Failure::Broken(Error::http("a batch for Redis")(error));
        self.stream.write_all(&batch.frame).await.map_err(broken)?;
        let mut began = 0;
        let mut first_wrong = None;
        for expected in &batch.expected {
            let (length, judged) = loop {
                match resp::parse(&self.received).map_err(|error| broken(error.into()))? {
                    Some((reply, length)) => break (length, expected.judge(reply)),
                    None => self.receive().await.map_err(broken)?,
                }
            };
            self.received.advance(length);
            match judged {
                Ok(fields) => began += fields,
                Err(error) => drop(first_wrong.get_or_insert(error)),
            }
        }
        self.began.fetch_add(began, Ordering::Relaxed);
        match first_wrong {
            None if self.received.is_empty() => Ok(()),
            None => Err(Failure::Broken(Error::broken("Redis answered more than it was asked"))),
            Some(error) => Err(Failure::Wrong(error)),
        }
    }
}

impl RedisLane {
    /// Sends one command and gives its reply to `look`.
    pub(super) async fn one<T>(
        &mut self,
        words: &[&[u8]],
        look: impl FnOnce(Reply<'_>) -> T,
    ) -> io::Result<T> {
        let mut frame = Vec::new();
        resp::command(&mut frame, words);
        self.stream.write_all(&frame).await?;
        loop {
            if let Some((reply, length)) = resp::parse(&self.received)? {
                let seen = look(reply);
                self.received.advance(length);
                return Ok(seen);
            }
            self.receive().await?;
        }
    }

    async fn receive(&mut self) -> io::Result<()> {
        self.received.reserve(READ_BYTES);
        match self.stream.read_buf(&mut self.received).await? {
            0 => Err(io::Error::new(ErrorKind::UnexpectedEof, "the connection was closed")),
            _ => Ok(()),
        }
    }
}

impl Expected {
    /// How many memberships a right reply says that began.
    fn judge(&self, reply: Reply<'_>) -> Result<u64, Error> {
        match (self, reply) {
            (Expected::NewFieldsUpTo(most), Reply::Integer(new)) if (0..=i64::from(*most)).contains(&new) => {
                Ok(new as u64)
            }
            (Expected::Fields(fields), Reply::Array(elements, _)) if elements == 2 * *fields as usize => {
                Ok(0)
            }
            (_, Reply::Error(error)) => {
                Err(Error::broken(format!("Redis answered {}", String::from_utf8_lossy(error))))
            }
            (expected, reply) => Err(Error::broken(format!("Redis answered {reply:?}, not {expected:?}"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_right_reply_is_right() {
        let written = Expected::NewFieldsUpTo(2);
        assert_eq!(written.judge(Reply::Integer(0)).unwrap(), 0);
        assert_eq!(written.judge(Reply::Integer(2)).unwrap(), 2);
        assert!(written.judge(Reply::Integer(3)).is_err());
        assert!(written.judge(Reply::Simple(b"OK")).is_err());
        assert!(written.judge(Reply::Error(b"MISCONF the disk is full")).is_err());
        let read = Expected::Fields(10);
        assert!(read.judge(Reply::Array(20, b"")).is_ok());
        assert!(read.judge(Reply::Array(0, b"")).is_err());
        assert!(read.judge(Reply::Array(10, b"")).is_err());
    }
}
