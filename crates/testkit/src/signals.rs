//! The signals that ask a process to end.

use crate::Error;
use tokio::signal::unix::{SignalKind, signal};

/// Does `work` until it ends or a signal comes. Then it is dropped where it is, and with it all that it has started.
pub async fn until_a_signal<T, E: From<Error>>(work: impl Future<Output = Result<T, E>>) -> Result<T, E> {
    let listen = |kind| signal(kind).map_err(Error::io("listen for signals"));
    let mut interrupt = listen(SignalKind::interrupt())?;
    let mut terminate = listen(SignalKind::terminate())?;
    let mut hangup = listen(SignalKind::hangup())?;
    tokio::select! {
        outcome = work => return outcome,
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
        _ = hangup.recv() => {}
    }
    Err(Error::Interrupted.into())
}
