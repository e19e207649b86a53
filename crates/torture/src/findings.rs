//! What a comparison of the server with the journal brought to light.

use crate::figure::Figure;
use std::fmt;

/// How many faults are told in words.
const FAULTS_TOLD: usize = 10;

/// Counts operations where it says nothing else.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Findings {
    /// Answered with OK.
    pub acknowledged: u64,
    /// Deletes among them.
    pub deleted: u64,
    /// Answered with something else, and known to have left nothing.
    pub refused: u64,
    /// Not answered, or refused in a way that leaves it open.
    pub unknown: u64,
    /// Unknown ones that turned out to be there.
    pub unknown_present: u64,
    /// Memberships that are not as the last acknowledged POST left them.
    pub lost: u64,
    /// Operations of which a part is there.
    pub torn: u64,
    /// Memberships that nothing acknowledged has left there: refused, made up, or not removed.
    pub unexpected: u64,
    /// Sums of the usage report that are not those of the accepted POSTs.
    pub miscounted: u64,
    /// Reads beside the load that found what was acknowledged a moment before.
    pub reads: u64,
    /// Reads that did not.
    pub stale: u64,
    /// Answers that the contract does not know.
    pub wrong_answers: u64,
    /// People who were deleted and then looked for in the files.
    pub forgotten: u64,
    /// Those of them who were found.
    pub remains: u64,
    /// The first faults, in words.
    pub faults: Vec<String>,
}

impl Findings {
    /// Whether every promise was kept.
    pub(crate) fn is_sound(&self) -> bool {
        let Findings { lost, torn, unexpected, miscounted, stale, wrong_answers, remains, .. } = self;
        lost + torn + unexpected + miscounted + stale + wrong_answers + remains == 0 && self.faults.is_empty()
    }

    /// Tells of a fault, unless there were many.
    pub(crate) fn tell(&mut self, fault: impl FnOnce() -> String) {
        if self.faults.len() < FAULTS_TOLD {
            self.faults.push(fault());
        }
    }

    /// Takes another comparison in.
    pub(crate) fn add(&mut self, other: Findings) {
        self.acknowledged += other.acknowledged;
        self.deleted += other.deleted;
        self.refused += other.refused;
        self.unknown += other.unknown;
        self.unknown_present += other.unknown_present;
        self.lost += other.lost;
        self.torn += other.torn;
        self.unexpected += other.unexpected;
        self.miscounted += other.miscounted;
        self.reads += other.reads;
        self.stale += other.stale;
        self.wrong_answers += other.wrong_answers;
        self.forgotten += other.forgotten;
        self.remains += other.remains;
        for fault in other.faults {
            self.tell(|| fault);
        }
    }

    /// Adds all counts to a figure.
    pub(crate) fn write_to(&self, figure: Figure) -> Figure {
        figure
            .with("acknowledged", self.acknowledged)
            .with("deleted", self.deleted)
            .with("refused", self.refused)
            .with("unknown", self.unknown)
            .with("unknown_present", self.unknown_present)
            .with("lost", self.lost)
            .with("torn", self.torn)
            .with("unexpected", self.unexpected)
            .with("miscounted", self.miscounted)
            .with("reads", self.reads)
            .with("stale", self.stale)
            .with("wrong_answers", self.wrong_answers)
            .with("forgotten", self.forgotten)
            .with("remains", self.remains)
    }
}

/// One line; the faults on lines of their own.
impl fmt::Display for Findings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Findings { acknowledged, deleted, refused, unknown, unknown_present, .. } = self;
        write!(
            f,
            "{acknowledged} acknowledged ({deleted} deletes), {refused} refused, \
             {unknown} unknown ({unknown_present} there)"
        )?;
        if !self.is_sound() {
            let Findings { lost, torn, unexpected, miscounted, stale, wrong_answers, .. } = self;
            write!(f, "; {lost} LOST, {torn} TORN, {unexpected} UNEXPECTED, {miscounted} MISCOUNTED, ")?;
            write!(f, "{stale} STALE, {wrong_answers} WRONG ANSWERS")?;
        }
        self.faults.iter().try_for_each(|fault| write!(f, "\n    {fault}"))
    }
}
