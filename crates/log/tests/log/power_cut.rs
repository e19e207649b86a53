//! The main promise: acknowledged records survive a kill and a power cut at any moment, and records that
//! were read once stay.

use std::path::Path;
use std::sync::Arc;

use ia_log::faults::simulated::{Dice, SimulatedDisk};
use ia_log::{DiskLog, Log, LogOptions};
use proptest::prelude::*;

use crate::support::{LogExt, small};

/// One life of the log: opens it, checks it, appends until the power goes.
fn live(disk: &SimulatedDisk, dice: &mut Dice, answered: &mut Vec<Vec<u8>>, life: u64) {
    let options = LogOptions { segment_bytes: 3000, ..small() };
    let (log, _) = DiskLog::open(Path::new("/data/log"), options, Arc::new(disk.clone()), Arc::new(()))
        .unwrap_or_else(|error| panic!("life {life}: {error}"));
    let held = log.payloads();
    let first = log.first_position() as usize - 1;
    assert!(held.len() + first >= answered.len(), "life {life}: an answered record is lost");
    let known = answered.len() - first;
    assert_eq!(held[..known], answered[first..], "life {life}: an answered record is another one");
    // Records without an answer may be there, if they were sent.
    for extra in &held[known..] {
        assert!(extra.starts_with(format!("{}:", life - 1).as_bytes()), "life {life}: a record nobody sent");
    }
    answered.extend_from_slice(&held[known..]);

    // Often so early that only the opening itself can have made its records durable.
    let calls = [4, 15, 60][dice.below(3) as usize];
    disk.cut_power_after(dice.below(calls));
    let mut number = 0;
    'power: loop {
        let mut waiting = Vec::new();
        for _ in 0..1 + dice.below(6) {
            let mut payload = format!("{life}:{number}:").into_bytes();
            payload.resize(payload.len() + dice.below(1500) as usize, b'x');
            number += 1;
            let (sender, receiver) = std::sync::mpsc::channel();
            let sent = payload.clone();
            let done = Box::new(move |result| drop(sender.send((result, sent))));
            if log.append(payload, done).is_err() {
                break 'power;
            }
            waiting.push(receiver);
        }
        for receiver in waiting {
            match receiver.recv().expect("an answer") {
                (Ok(position), payload) => {
                    answered.push(payload);
                    assert_eq!(position, answered.len() as u64);
                }
                (Err(_), _) => break 'power,
            }
        }
        if dice.below(8) == 0 && log.trim_before(dice.below(log.next_position() + 1)).is_err() {
            break 'power;
        }
    }
}

/// Cuts the power while the log is being opened, too.
fn open_under_power_cuts(disk: &SimulatedDisk, dice: &mut Dice) {
    for _ in 0..dice.below(3) {
        disk.cut_power_after(dice.below(8));
        let options = LogOptions { segment_bytes: 3000, ..small() };
        drop(DiskLog::open(Path::new("/data/log"), options, Arc::new(disk.clone()), Arc::new(())));
        disk.restart(dice);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, max_shrink_iters: 0, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn acknowledged_records_survive_power_cuts(seed in any::<u64>()) {
        let (disk, mut dice) = (SimulatedDisk::default(), Dice::new(seed));
        let mut answered = Vec::new();
        for life in 1..=8 {
            live(&disk, &mut dice, &mut answered, life);
            if dice.below(3) == 0 {
                disk.resume();
                continue;
            }
            disk.restart(&mut dice);
            open_under_power_cuts(&disk, &mut dice);
        }
    }
}
