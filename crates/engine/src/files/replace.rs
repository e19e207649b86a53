//! Replacing the members of a segment by those of a file: who was in before the job and is not in the file goes out.
//!
//! Before the first entry is read, hashes of all members are written to a file beside the spooled one (`docs/FORMAT.md`).
//! So a restart in the middle does not take those who came in by then for earlier ones. Each user that the file names
//! is taken out of the set. In the end those who are left, and still in the segment, go out in one record, which takes
//! effect at one moment ([`ia_profiles::Profiles::apply`]).
//!
//! Two members with one hash (a keyed one, of 64 bits) count as one: with a million members this happens once in 30
//! million jobs, and then one of the two may stay.

use ia_log::LogOptions;
use ia_model::{Batch, Change, Minute, Operation, SegmentId, UserKey};
use ia_profiles::{Hashes, Profiles, ProfilesError};
use siphasher::sip::SipHasher24;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::ops::ControlFlow::{self, Break, Continue};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

/// The first bytes of the file, with the version of its format.
const MAGIC: &[u8; 8] = b"IAMEMBR\x01";
const KEY_BYTES: usize = 16;
/// Magic, segment, key and count.
const HEAD_BYTES: usize = MAGIC.len() + 4 + KEY_BYTES + 8;
const CHECKSUM_BYTES: usize = 4;
/// Room in the last record for all but its users.
const OTHER_RECORD_BYTES: usize = 1 << 20;
/// An upper bound of the bytes of a user in the record, beside its key: the length of the key (2), the number of
/// operations (1), the segment (5) and the removal (1).
const REMOVAL_BYTES: usize = 9;

/// Why the members of a segment cannot be replaced. Nothing was applied.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReplaceFault {
    /// The record that takes them out would not fit the log.
    #[error(
        "segment {segment} has too many members to be replaced at once: they take more than {max_bytes} bytes; with ids of the platform that is some {about_users} members"
    )]
    TooManyMembers {
        /// The segment's id.
        segment: u32,
        /// The most bytes of a record's users.
        max_bytes: usize,
        /// The most members whose ids have 8 bytes.
        about_users: usize,
    },
    /// The file with the members' hashes cannot be written or read. It may be tried again.
    #[error("cannot {doing} the file with the members before the job")]
    Io {
        /// What failed.
        doing: &'static str,
        /// The system's error.
        source: io::Error,
    },
    /// The file with the members' hashes is damaged, so nobody knows who was in the segment before.
    #[error("the file with the members before the job is damaged in its {0}")]
    Damaged(&'static str),
    /// A profile cannot be read.
    #[error(transparent)]
    Profiles(#[from] ProfilesError),
    /// The server stops. The next start goes on.
    #[error("stopped while the members of a segment were read")]
    Stopped,
}

/// The most bytes of the users of the record that replaces a segment's members.
pub(crate) fn max_users_bytes() -> usize {
    LogOptions::default().max_payload_bytes - OTHER_RECORD_BYTES
}

/// The replacement of a segment's members by one job.
#[derive(Debug)]
pub(crate) struct Replacing {
    segment: SegmentId,
    key: [u8; KEY_BYTES],
    /// Who was in the segment before, and is not in the file as far as it was read: 8 bytes a member.
    before: Hashes,
}

impl Replacing {
    /// Reads who is in the segment now and writes it to `file`, which has a folder already and belongs to this job alone.
    /// On return this is durable. If the file is there, because a restart came in between, it counts.
    ///
    /// It reads all profiles, so it may take seconds; it ends early when `stop` turns true. `max_users_bytes` is
    /// [`max_users_bytes`].
    ///
    /// # Errors
    ///
    /// See [`ReplaceFault`].
    pub(crate) fn begin(
        file: &Path,
        profiles: &dyn Profiles,
        segment: SegmentId,
        now: Minute,
        max_users_bytes: usize,
        stop: &AtomicBool,
    ) -> Result<Replacing, ReplaceFault> {
        match fs::read(file) {
            Ok(bytes) => return Replacing::decode(&bytes, segment),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(source) => return Err(ReplaceFault::Io { doing: "read", source }),
        }
        let mut key = [0; KEY_BYTES];
        getrandom::fill(&mut key)
            .map_err(|error| ReplaceFault::Io { doing: "make", source: error.into() })?;
        let hasher = SipHasher24::new_with_key(&key);
        let (mut hashes, mut users_bytes) = (Vec::new(), 0);
        visit(profiles, segment, now, stop, &mut |user: UserKey| {
            users_bytes += user.as_bytes().len() + REMOVAL_BYTES;
            hashes.push(hasher.hash(user.as_bytes()));
            // Nobody is met this often, so they are too many, and memory has an end.
            if users_bytes > max_users_bytes.saturating_mul(4) { Break(()) } else { Continue(()) }
        })?;
        let before = Hashes::new(hashes);
        let replacing = Replacing { segment, key, before };
        // Some may have been met twice. Then they are counted again.
        if users_bytes > max_users_bytes && replacing.users_bytes(profiles, now, stop)? > max_users_bytes {
            return Err(ReplaceFault::TooManyMembers {
                segment: segment.0,
                max_bytes: max_users_bytes,
                about_users: max_users_bytes / (9 + REMOVAL_BYTES),
            });
        }
        replacing.write(file).map_err(|source| ReplaceFault::Io { doing: "write", source })?;
        Ok(replacing)
    }

    /// The file names this user for the segment, so the user stays. It may be named again.
    pub(crate) fn note(&mut self, user: &UserKey) {
        self.before.take(self.hash(user));
    }

    /// How many were in before and are not in the file so far.
    #[cfg(test)]
    pub(crate) fn left(&self) -> usize {
        self.before.left()
    }

    /// The removal of all who were in before, are not in the file and are still in, in normal form. It belongs in one
    /// record with [`ia_model::record::FileChunk::replaced`]. It changes nothing here: after a refusal of the record it
    /// can be made again.
    ///
    /// # Errors
    ///
    /// See [`ReplaceFault`].
    pub(crate) fn rest(
        &self,
        profiles: &dyn Profiles,
        now: Minute,
        stop: &AtomicBool,
    ) -> Result<Batch, ReplaceFault> {
        let mut left = self.before.clone();
        let mut batch = Batch::with_capacity(left.left(), left.left());
        let operation = Operation { segment: self.segment, change: Change::Remove };
        visit(profiles, self.segment, now, stop, &mut |user| {
            if left.take(self.hash(&user)) {
                batch.push(user, [operation]);
            }
            Continue(())
        })?;
        Ok(batch)
    }

    fn hash(&self, user: &UserKey) -> u64 {
        SipHasher24::new_with_key(&self.key).hash(user.as_bytes())
    }

    /// The bytes of all members in the record, each counted once.
    fn users_bytes(
        &self,
        profiles: &dyn Profiles,
        now: Minute,
        stop: &AtomicBool,
    ) -> Result<usize, ReplaceFault> {
        let (mut left, mut bytes) = (self.before.clone(), 0);
        visit(profiles, self.segment, now, stop, &mut |user| {
            if left.take(self.hash(&user)) {
                bytes += user.as_bytes().len() + REMOVAL_BYTES;
            }
            Continue(())
        })?;
        Ok(bytes)
    }

    /// Writes the file so that it is there whole or not at all.
    fn write(&self, file: &Path) -> io::Result<()> {
        let unfinished = unfinished(file);
        let mut options = OpenOptions::new();
        let target = options.write(true).create(true).truncate(true).mode(0o600).open(&unfinished)?;
        let mut out = BufWriter::new(target);
        let mut head = Vec::with_capacity(HEAD_BYTES);
        head.extend_from_slice(MAGIC);
        head.extend_from_slice(&self.segment.0.to_le_bytes());
        head.extend_from_slice(&self.key);
        head.extend_from_slice(&(self.before.all().len() as u64).to_le_bytes());
        out.write_all(&head)?;
        let mut checksum = crc32c::crc32c(&head);
        for hash in self.before.all() {
            let hash = hash.to_le_bytes();
            checksum = crc32c::crc32c_append(checksum, &hash);
            out.write_all(&hash)?;
        }
        out.write_all(&checksum.to_le_bytes())?;
        out.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
        fs::rename(&unfinished, file)?;
        let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty());
        File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
    }

    fn decode(bytes: &[u8], segment: SegmentId) -> Result<Replacing, ReplaceFault> {
        let damaged = ReplaceFault::Damaged;
        let (content, checksum) =
            bytes.split_last_chunk::<CHECKSUM_BYTES>().ok_or(ReplaceFault::Damaged("length"))?;
        if crc32c::crc32c(content) != u32::from_le_bytes(*checksum) {
            return Err(damaged("checksum"));
        }
        let (magic, rest) = content.split_first_chunk().ok_or(ReplaceFault::Damaged("length"))?;
        let (of_segment, rest) = rest.split_first_chunk().ok_or(ReplaceFault::Damaged("length"))?;
        let (key, rest) = rest.split_first_chunk().ok_or(ReplaceFault::Damaged("length"))?;
        let (count, hashes) = rest.split_first_chunk().ok_or(ReplaceFault::Damaged("length"))?;
        if magic != MAGIC {
            return Err(damaged("version"));
        }
        if SegmentId(u32::from_le_bytes(*of_segment)) != segment {
            return Err(damaged("segment"));
        }
        let (hashes, others) = hashes.as_chunks();
        if !others.is_empty() || hashes.len() as u64 != u64::from_le_bytes(*count) {
            return Err(damaged("number of members"));
        }
        let before = Hashes::new(hashes.iter().map(|hash| u64::from_le_bytes(*hash)).collect());
        Ok(Replacing { segment, key: *key, before })
    }
}

/// Where the file is written before it has its name.
fn unfinished(file: &Path) -> PathBuf {
    let mut path = file.as_os_str().to_owned();
    path.push(".unfinished");
    path.into()
}

/// Visits all members, some of them perhaps twice.
fn visit(
    profiles: &dyn Profiles,
    segment: SegmentId,
    now: Minute,
    stop: &AtomicBool,
    visit: &mut dyn FnMut(UserKey) -> ControlFlow<()>,
) -> Result<(), ReplaceFault> {
    let mut is_stopped = false;
    profiles.visit_members(segment, now, &mut |user| {
        is_stopped = stop.load(Ordering::Relaxed);
        if is_stopped { Break(()) } else { visit(user) }
    })?;
    if is_stopped { Err(ReplaceFault::Stopped) } else { Ok(()) }
}

#[cfg(test)]
mod tests;
