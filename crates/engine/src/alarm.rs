//! Failures that only a restart can repair: a lost thread or task, or a record that cannot be applied.

use std::sync::{Arc, OnceLock};

/// Raised once and never cleared; `/readyz` reports the first reason.
#[derive(Debug, Clone, Default)]
pub(crate) struct Alarm(Arc<OnceLock<String>>);

impl Alarm {
    /// Raises the alarm. A later reason does not replace the first.
    pub(crate) fn raise(&self, reason: String) {
        let _ = self.0.set(reason);
    }

    /// Why the alarm was raised; `None` if it was not.
    pub(crate) fn reason(&self) -> Option<&str> {
        self.0.get().map(String::as_str)
    }

    /// A guard for a thread or task to hold: a panic that drops it raises the alarm.
    pub(crate) fn watch(&self, part: &'static str) -> Watch {
        Watch { alarm: self.clone(), part }
    }
}

/// See [`Alarm::watch`].
pub(crate) struct Watch {
    alarm: Alarm,
    part: &'static str,
}

impl Drop for Watch {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.alarm.raise(format!("the {} has panicked; restart the server", self.part));
            tracing::error!(part = self.part, "a part of the server has panicked");
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
