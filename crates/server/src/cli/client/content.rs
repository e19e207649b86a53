//! The bytes of a file on their way to the server.

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};
use std::io::{Error, ErrorKind, Read};

/// How much is read at once.
const CHUNK_BYTES: usize = 256 << 10;
/// How many chunks are read ahead.
const CHUNKS_AHEAD: usize = 4;

/// A stream of bytes, with its length where that is known before its end.
pub(in crate::cli) struct Content {
    pub(in crate::cli) bytes: BoxStream<'static, std::io::Result<Bytes>>,
    pub(in crate::cli) length: Option<u64>,
}

impl Content {
    /// Reads on a thread of its own. Of a source that is longer than `length`, the rest is not read; one that ends
    /// before is an error.
    pub(in crate::cli) fn read(source: impl Read + Send + 'static, length: Option<u64>) -> Content {
        let (sender, mut receiver) = tokio::sync::mpsc::channel(CHUNKS_AHEAD);
        // Not on the runtime's threads: a read of standard input may never end, and nothing may wait for it then.
        std::thread::spawn(move || {
            let mut source = source.take(length.unwrap_or(u64::MAX));
            loop {
                let mut chunk = vec![0; CHUNK_BYTES];
                let read = match source.read(&mut chunk) {
                    Ok(0) => return,
                    Ok(read) => {
                        chunk.truncate(read);
                        Ok(Bytes::from(chunk))
                    }
                    Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                    Err(error) => Err(error),
                };
                let is_last = read.is_err();
                if sender.blocking_send(read).is_err() || is_last {
                    return;
                }
            }
        });
        Content::checked(stream::poll_fn(move |context| receiver.poll_recv(context)).boxed(), length)
    }

    /// A stream that must have `length` bytes.
    pub(in crate::cli) fn checked(
        bytes: BoxStream<'static, std::io::Result<Bytes>>,
        length: Option<u64>,
    ) -> Content {
        let Some(total) = length else { return Content { bytes, length } };
        let checked = stream::unfold((bytes, total), async |(mut bytes, missing)| {
            let next = match bytes.next().await {
                None if missing > 0 => {
                    let text = format!("it ended {missing} bytes before its end");
                    return Some((Err(Error::new(ErrorKind::UnexpectedEof, text)), (bytes, 0)));
                }
                None => return None,
                Some(next) => next,
            };
            let missing = missing.saturating_sub(next.as_ref().map_or(0, |chunk| chunk.len() as u64));
            Some((next, (bytes, missing)))
        });
        Content { bytes: checked.fuse().boxed(), length }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::TryStreamExt;

    async fn all(content: Content) -> std::io::Result<Vec<u8>> {
        Ok(content.bytes.try_collect::<Vec<_>>().await?.concat())
    }

    #[tokio::test]
    async fn what_is_read_is_what_was_there() {
        let bytes: Vec<u8> = (0..CHUNK_BYTES * 2 + 7).map(|index| index as u8).collect();
        for length in [None, Some(bytes.len() as u64)] {
            assert!(all(Content::read(std::io::Cursor::new(bytes.clone()), length)).await.unwrap() == bytes);
        }
        let start = all(Content::read(std::io::Cursor::new(bytes.clone()), Some(10))).await.unwrap();
        assert_eq!(start, bytes[..10], "a file that grows");
    }

    #[tokio::test]
    async fn a_file_that_became_shorter_is_an_error() {
        let error = all(Content::read(std::io::Cursor::new(vec![1; 10]), Some(11))).await.unwrap_err();
        assert_eq!(error.to_string(), "it ended 1 bytes before its end");
    }
}
