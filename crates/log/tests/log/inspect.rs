//! Looking at a log without changing it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

use ia_log::faults::Call;
use ia_log::{Fault, Found, Inspector, Log, LogError};

use crate::support::{LogExt, Testbed, files};

impl Testbed {
    fn inspect(&self) -> Vec<Found> {
        let inspector = Inspector::open(&self.path(), self.disk.as_disk()).unwrap();
        inspector.map(|found| found.unwrap()).collect()
    }
}

#[test]
fn every_file_record_and_mark_is_shown() {
    let bed = Testbed::new();
    let log = bed.open();
    log.put(vec![1; 2000]).unwrap();
    log.put(vec![2; 3000]).unwrap();
    let paths = files(&bed.path());
    let file = |n: usize, first_position, bytes| Found::File {
        path: paths[n].clone(),
        version: 1,
        first_position,
        bytes,
    };
    let expected = [
        file(0, 1, 32 + 24 + 2000 + 24),
        Found::Record { offset: 32, position: 1, payload: vec![1; 2000] },
        Found::Mark { offset: 32 + 24 + 2000, next_position: 2, sealed: true },
        file(1, 2, 4096),
        Found::Record { offset: 32, position: 2, payload: vec![2; 3000] },
        Found::Mark { offset: 32 + 24 + 3000, next_position: 3, sealed: false },
    ];
    assert_eq!(bed.inspect(), expected);
}

#[test]
fn the_end_a_torn_write_and_damage_are_told_apart() {
    let bed = Testbed::new();
    let log = bed.open();
    assert_eq!(bed.inspect()[1..], [Found::End { offset: 32, next_position: 1 }]);
    log.put("one").unwrap();
    log.put("two").unwrap();
    drop(log);
    let path = &files(&bed.path())[0];
    let whole = std::fs::read(path).unwrap();

    let mut torn = whole.clone();
    torn[32 + 27 + 26..].fill(0);
    torn[32 + 27 + 25] = b'!';
    std::fs::write(path, &torn).unwrap();
    assert_eq!(bed.inspect()[2..], [Found::Torn { offset: 59, bytes: 26, fault: Fault::Checksum }]);

    let mut damaged = whole;
    damaged[32 + 24] ^= 1;
    std::fs::write(path, &damaged).unwrap();
    assert_eq!(bed.inspect()[1..], [Found::Damaged { offset: 32, fault: Fault::Checksum }]);
}

#[test]
fn a_bad_file_does_not_hide_the_next() {
    let bed = Testbed::new();
    let log = bed.open();
    for n in 0..3 {
        log.put(vec![n; 3000]).unwrap();
    }
    drop(log);
    std::fs::write(&files(&bed.path())[1], "nonsense").unwrap();
    let found: Vec<_> = Inspector::open(&bed.path(), bed.disk.as_disk()).unwrap().collect();
    let bad = |found: &Result<Found, LogError>| matches!(found, Err(LogError::Corrupt { offset: 0, .. }));
    assert!(bad(&found[3]), "{found:?}");
    let records = found.iter().filter(|found| matches!(found, Ok(Found::Record { .. })));
    assert_eq!(records.count(), 2);
}

#[test]
fn nothing_is_changed() {
    let bed = Testbed::new();
    drop(bed.open());
    let changing = [Call::Create, Call::Rename, Call::Remove, Call::Write, Call::SetSize, Call::Allocate];
    let before = changing.map(|call| bed.disk.calls(call));
    let leftover = bed.path().join(format!("{:020}.log.new", 1));
    std::fs::write(&leftover, "x").unwrap();
    bed.inspect();
    assert_eq!(changing.map(|call| bed.disk.calls(call)), before);
    assert!(leftover.exists());
    let nowhere = Inspector::open(&bed.path().join("nowhere"), bed.disk.as_disk());
    assert!(matches!(nowhere.err(), Some(LogError::Io { .. })));
}

#[test]
fn it_works_beside_a_writer() {
    let bed = Testbed::new();
    let log = Arc::new(bed.open());
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let mut sent = 0u32;
            while !stop.load(SeqCst) {
                let answers: Vec<_> = (0..20).map(|n| log.submit(vec![n; 37 * usize::from(n)])).collect();
                for answer in answers {
                    answer.wait().unwrap();
                }
                sent += 20;
                log.trim_before(log.next_position().saturating_sub(200)).unwrap();
            }
            sent
        });
        let mut seen = 0;
        while seen < 3000 {
            let mut last = 0;
            for found in bed.inspect() {
                match found {
                    Found::Record { position, .. } => {
                        assert!(position > last);
                        last = position;
                        seen += 1;
                    }
                    Found::Damaged { .. } => panic!("{found:?}"),
                    _ => {}
                }
            }
        }
        stop.store(true, SeqCst);
        assert!(writer.join().unwrap() > 0);
    });
}
