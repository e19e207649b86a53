use std::fmt;

/// How many objects of a kind a file created, changed and left as they were.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tally {
    /// New objects.
    pub created: usize,
    /// Objects that had other values.
    pub changed: usize,
    /// Objects that had these values.
    pub unchanged: usize,
}

impl Tally {
    /// Counts one and says whether it has to be written.
    pub(super) fn count<T: PartialEq>(&mut self, before: Option<&T>, after: &T) -> bool {
        match before {
            None => self.created += 1,
            Some(before) if before != after => self.changed += 1,
            Some(_) => {
                self.unchanged += 1;
                return false;
            }
        }
        true
    }

    fn is_change(self) -> bool {
        self.created + self.changed > 0
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Tally { created, changed, unchanged } = self;
        write!(f, "{created} created, {changed} changed, {unchanged} unchanged")
    }
}

/// The result of applying a file. Prints as one line for each kind of object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ApplyReport {
    /// Members, with the access that they have to the segments of others.
    pub members: Tally,
    /// Logins.
    pub users: Tally,
    /// Segments.
    pub segments: Tally,
    /// Pairs of members where one sees segments of the other.
    pub sharing: Tally,
}

impl ApplyReport {
    /// Whether anything is different from before.
    pub fn is_change(&self) -> bool {
        [self.members, self.users, self.segments, self.sharing].into_iter().any(Tally::is_change)
    }
}

impl fmt::Display for ApplyReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "members: {}", self.members)?;
        writeln!(f, "users: {}", self.users)?;
        writeln!(f, "segments: {}", self.segments)?;
        write!(f, "sharing: {}", self.sharing)
    }
}
