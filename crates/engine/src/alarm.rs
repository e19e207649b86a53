//! What only a restart can mend: a thread or task that is gone, a record that cannot be applied.

use std::sync::{Arc, OnceLock};

/// Raised once, never taken back; `/readyz` tells the first reason.
#[derive(Debug, Clone, Default)]
pub(crate) struct Alarm(Arc<OnceLock<String>>);

impl Alarm {
    /// Raises it; later reasons do not replace the first.
    pub(crate) fn raise(&self, reason: String) {
        let _ = self.0.set(reason);
    }

    /// Why it was raised, if it was.
    pub(crate) fn reason(&self) -> Option<&str> {
        self.0.get().map(String::as_str)
    }

    /// To be held by a thread or task: raises the alarm when it is dropped by a panic.
    pub(crate) fn watch(&self, who: &'static str) -> Watch {
        Watch { alarm: self.clone(), who }
    }
}

/// See [`Alarm::watch`].
pub(crate) struct Watch {
    alarm: Alarm,
    who: &'static str,
}

impl Drop for Watch {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.alarm.raise(format!("the {} has panicked; restart the server", self.who));
            tracing::error!(who = self.who, "a part of the server has panicked");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_raises_the_alarm_and_an_orderly_end_does_not() {
        let alarm = Alarm::default();
        let watch = alarm.watch("tidy thread");
        std::thread::spawn(move || drop(watch)).join().unwrap();
        assert_eq!(alarm.reason(), None);
        let watch = alarm.watch("clumsy thread");
        let clumsy = std::thread::spawn(move || {
            let _watch = watch;
            panic!("on purpose");
        });
        assert!(clumsy.join().is_err());
        assert!(alarm.reason().unwrap().contains("clumsy thread"));
    }
}
