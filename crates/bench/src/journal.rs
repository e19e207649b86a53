//! What is known of every body of a load: the oracle that a server is held to after a crash.

use serde::Serialize;

/// What became of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// Never handed to a connection: nothing of it may be stored.
    Unsent,
    /// Sent, or about to be, and not answered: all of it may be stored, or nothing.
    Unknown,
    /// Answered, with something else than OK: as unknown, since a failure after the write is a failure too.
    Refused,
    /// Answered with OK: all of it must be stored, for good.
    Acknowledged,
}

/// How many bodies there are of each fate.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Tally {
    /// Never sent.
    pub unsent: usize,
    /// Not answered.
    pub unknown: usize,
    /// Not answered with OK.
    pub refused: usize,
    /// Answered with OK.
    pub acknowledged: usize,
}

/// The fates of all bodies of a load, and which is to be sent next.
#[derive(Debug)]
pub(crate) struct Journal {
    fates: Vec<Fate>,
    next: usize,
}

impl Journal {
    /// Nothing is sent.
    pub(crate) fn new(bodies: usize) -> Journal {
        Journal { fates: vec![Fate::Unsent; bodies], next: 0 }
    }

    /// The next body that is not acknowledged; `None` after the last. Its fate is unknown from now on: from
    /// here it can reach the server at any moment.
    pub(crate) fn hand_out(&mut self) -> Option<usize> {
        let ahead = self.fates.get(self.next..)?.iter().position(|&fate| fate != Fate::Acknowledged)?;
        let body = self.next + ahead;
        self.next = body + 1;
        self.fates[body] = Fate::Unknown;
        Some(body)
    }

    /// A body that was handed out was answered.
    pub(crate) fn settle(&mut self, body: usize, fate: Fate) {
        assert!(self.fates[body] == Fate::Unknown, "only a body that was handed out can be answered");
        self.fates[body] = fate;
    }

    /// Starts over: what is not acknowledged is handed out again.
    pub(crate) fn rewind(&mut self) {
        self.next = 0;
    }

    /// The fates, by body.
    pub(crate) fn fates(&self) -> &[Fate] {
        &self.fates
    }

    /// How many there are of each.
    pub(crate) fn tally(&self) -> Tally {
        let mut tally = Tally::default();
        for fate in &self.fates {
            *match fate {
                Fate::Unsent => &mut tally.unsent,
                Fate::Unknown => &mut tally.unknown,
                Fate::Refused => &mut tally.refused,
                Fate::Acknowledged => &mut tally.acknowledged,
            } += 1;
        }
        tally
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_handed_out_is_unknown_until_it_is_answered() {
        let mut journal = Journal::new(4);
        assert_eq!(journal.hand_out(), Some(0));
        assert_eq!(journal.hand_out(), Some(1));
        assert_eq!(journal.hand_out(), Some(2));
        journal.settle(1, Fate::Acknowledged);
        journal.settle(2, Fate::Refused);
        assert_eq!(journal.fates(), [Fate::Unknown, Fate::Acknowledged, Fate::Refused, Fate::Unsent]);
        assert_eq!(journal.tally(), Tally { unsent: 1, unknown: 1, refused: 1, acknowledged: 1 });
    }

    #[test]
    fn a_second_round_sends_all_but_the_acknowledged() {
        let mut journal = Journal::new(4);
        for fate in [Fate::Acknowledged, Fate::Refused, Fate::Acknowledged] {
            let body = journal.hand_out().unwrap();
            journal.settle(body, fate);
        }
        journal.rewind();
        assert_eq!([journal.hand_out(), journal.hand_out(), journal.hand_out()], [Some(1), Some(3), None]);
        assert_eq!(journal.hand_out(), None);
    }

    #[test]
    #[should_panic(expected = "handed out")]
    fn an_answer_to_nothing_is_a_defect_of_the_bench() {
        Journal::new(1).settle(0, Fate::Acknowledged);
    }
}
