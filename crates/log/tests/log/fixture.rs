//! A file of format version 1, which must stay readable.

use ia_log::{Found, Log};

use crate::support::{LogExt, Testbed};

/// Records at positions 41 (`first`), 42 (empty) and 43 (300 bytes of 0xab), each in a write of its own.
const VERSION_1: &[u8] = include_bytes!("../fixtures/version-1.log");

#[test]
fn a_file_of_version_1_is_read() {
    let bed = Testbed::new();
    std::fs::create_dir(bed.path()).unwrap();
    std::fs::write(bed.path().join(format!("{:020}.log", 41)), VERSION_1).unwrap();
    let found = ia_log::Inspector::open(&bed.path(), bed.disk.as_disk()).unwrap();
    let last = found.last().unwrap().unwrap();
    assert_eq!(last, Found::Mark { offset: 409, next_position: 44, sealed: false });

    let (log, recovery) = bed.try_open().unwrap();
    assert_eq!((recovery.records, recovery.torn_bytes, recovery.rewritten_bytes), (3, 0, 0));
    assert_eq!((log.first_position(), log.next_position()), (41, 44));
    assert_eq!(log.payloads(), [b"first".to_vec(), Vec::new(), vec![0xab; 300]]);
    assert_eq!(log.put("and on"), Ok(44));
}
