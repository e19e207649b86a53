//! What is left on the disk of people who were forgotten.

use crate::journal::{End, Session};
use crate::operation::{Delete, Operation, is_shared};
use anyhow::Context;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::ErrorKind;
use std::path::Path;

/// So many bytes of an id in a row are its trace: a table leaves out what a key has in common with the one before.
const TRACE_BYTES: usize = 6;

/// Those of whom the last that was sent is an acknowledged delete by an admin. Users that writers share are not
/// among them: their ids are small numbers, which are in files for other reasons.
#[derive(Debug, Default)]
pub(crate) struct Forgotten(BTreeSet<u64>);

impl Forgotten {
    /// Goes over a session.
    pub(crate) fn note(&mut self, session: &Session) {
        // A user of one writer's own: what is sent later comes later.
        for case in &session.cases {
            let is_acknowledged = matches!(case.ended, Some((_, End::Acknowledged)));
            let is_for_all = matches!(case.operation, Operation::Delete(Delete { by_admin: true, .. }));
            for user in case.operation.effects().into_iter().map(|effect| effect.user()) {
                if is_for_all && is_acknowledged && !is_shared(user) {
                    self.0.insert(user);
                } else {
                    self.0.remove(&user);
                }
            }
        }
    }

    /// Adds somebody of whom nothing more will be sent.
    pub(crate) fn add(&mut self, user: u64) {
        self.0.insert(user);
    }

    /// Who they are.
    pub(crate) fn users(&self) -> Vec<u64> {
        self.0.iter().copied().collect()
    }
}

/// The users whose ids are in a file of the folder, each with the first such file.
pub(crate) fn traces(folder: &Path, users: &[u64]) -> anyhow::Result<BTreeMap<u64, String>> {
    let mut spellings: HashMap<[u8; TRACE_BYTES], Vec<(u64, Vec<u8>)>> = HashMap::new();
    for &user in users {
        let digits = user.to_string().into_bytes();
        for spelling in [digits, user.to_be_bytes()[2..].to_vec(), user.to_le_bytes()[..TRACE_BYTES].to_vec()]
        {
            let (start, _) = spelling.split_first_chunk().context("the id is too short to be told apart")?;
            spellings.entry(*start).or_default().push((user, spelling));
        }
    }
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        let context = || format!("cannot look into {}", folder.display());
        for entry in std::fs::read_dir(&folder).with_context(context)? {
            let path = entry.with_context(context)?.path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let content = match std::fs::read(&path) {
                // A server at work gives files up.
                Err(error) if error.kind() == ErrorKind::NotFound => continue,
                content => content.with_context(|| format!("cannot read {}", path.display()))?,
            };
            for (at, start) in content.windows(TRACE_BYTES).enumerate() {
                let candidates =
                    <&[u8; TRACE_BYTES]>::try_from(start).ok().and_then(|key| spellings.get(key));
                for (user, spelling) in candidates.into_iter().flatten() {
                    if content[at..].starts_with(spelling) && !is_part_of_a_number(&content, at, spelling) {
                        found.entry(*user).or_insert_with(|| format!("{} at byte {at}", path.display()));
                    }
                }
            }
        }
    }
    Ok(found)
}

/// Whether digits are some of those of another, longer id.
fn is_part_of_a_number(content: &[u8], at: usize, spelling: &[u8]) -> bool {
    let is_digit = |at: Option<usize>| at.and_then(|at| content.get(at)).is_some_and(u8::is_ascii_digit);
    spelling.iter().all(u8::is_ascii_digit)
        && (is_digit(at.checked_sub(1)) || is_digit(Some(at + spelling.len())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::Entry;
    use crate::operation::{Part, Post};

    #[test]
    fn every_spelling_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let user = 0x9e37_79b9_7f4a_7c15_u64;
        let file = folder.path().join("a/b");
        std::fs::create_dir(folder.path().join("a")).unwrap();
        for content in
            [user.to_string().into_bytes(), user.to_be_bytes()[2..].into(), user.to_le_bytes().into()]
        {
            std::fs::write(&file, [b"--".to_vec(), content, b"--".to_vec()].concat()).unwrap();
            assert_eq!(
                traces(folder.path(), &[7 << 60, user]).unwrap().into_keys().collect::<Vec<_>>(),
                [user]
            );
        }
        for other in [user.to_string()[1..].to_owned(), format!("{user}0"), format!("1{user}, 7")] {
            std::fs::write(&file, other).unwrap();
            assert_eq!(traces(folder.path(), &[user]).unwrap(), BTreeMap::new());
        }
    }

    #[test]
    fn forgotten_is_who_was_deleted_last() {
        let user = 1_000_000;
        let delete = |by_admin| Operation::Delete(Delete { id: 1, writer: 0, user, by_admin });
        let part = Part { user, changes: Vec::new() };
        let post = Operation::Post(Post { id: 1, writer: 0, users: vec![part], invalid_segments: 0 });
        let done = |operation: &Operation| {
            let sent = Entry::Sent { operation: operation.clone(), at_ms: 0 };
            [sent, Entry::Ended { id: 1, end: End::Acknowledged }]
        };
        let after = |entries: Vec<Entry>| {
            let mut forgotten = Forgotten::default();
            forgotten.note(&Session::of(entries).unwrap());
            forgotten.users()
        };
        assert_eq!(after([done(&post), done(&delete(true))].concat()), [user]);
        assert_eq!(after([done(&delete(true)), done(&post)].concat()), [0; 0]);
        assert_eq!(after(done(&delete(false)).to_vec()), [0; 0]);
        assert_eq!(after(done(&delete(true))[..1].to_vec()), [0; 0]);
    }
}
