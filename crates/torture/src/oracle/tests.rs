//! A checker that finds nothing is worth nothing: every kind of fault is put in, one by one.

use super::*;
use crate::journal::Entry;
use crate::operation::{Delete, Post, SHARED_SEGMENTS};

const OPEN: Rules = Rules { refusal: Refusal::LeavesNothing, on_break: Break::IsOpen };
const FAILED_DISK: Rules = Rules { refusal: Refusal::OfAFailedDisk, on_break: Break::IsOpen };
const STOP: Rules =
    Rules { refusal: Refusal::LeavesNothing, on_break: Break::LeavesNothing { unless_sent_before_ms: 0 } };

fn held(post: u32) -> Held {
    Held { value: post * 16, for_ever: true }
}

/// A POST that adds the users to 10001 and takes them out of 10002.
fn post(id: u32, writer: u16, users: &[u64]) -> Operation {
    let changes =
        vec![Change { segment: 10_001, held: Some(held(id)) }, Change { segment: 10_002, held: None }];
    let users = users.iter().map(|&user| Part { user, changes: changes.clone() }).collect();
    Operation::Post(Post { id, writer, users, invalid_segments: 0 })
}

fn delete(id: u32, writer: u16, user: u64) -> Operation {
    Operation::Delete(Delete { id, writer, user, by_admin: false })
}

fn shared(id: u32, writer: u16) -> Operation {
    let changes = SHARED_SEGMENTS.map(|segment| Change { segment, held: Some(held(id)) }).collect();
    let mut operation = post(id, writer, &[1_000_000 * (u64::from(writer) + 1)]);
    parts(&mut operation).push(Part { user: 1, changes });
    operation
}

fn parts(operation: &mut Operation) -> &mut Vec<Part> {
    match operation {
        Operation::Post(post) => &mut post.users,
        Operation::Delete(_) => panic!("a delete has no parts"),
    }
}

fn sent(operation: &Operation) -> Entry {
    Entry::Sent { operation: operation.clone(), at_ms: u64::from(operation.id()) }
}

fn refused() -> End {
    End::Refused { status: 503, says_retry_after: true }
}

fn broken() -> End {
    End::Broken { received_bytes: 0, error: "gone".to_owned() }
}

/// Each is answered before the next is sent.
fn one_by_one(operations: &[(Operation, End)]) -> Session {
    let entries = operations.iter().flat_map(|(operation, end)| {
        [sent(operation), Entry::Ended { id: operation.id(), end: end.clone() }]
    });
    Session::of(entries).unwrap()
}

/// What a server shows that has done these operations and nothing else.
fn server(operations: &[&Operation]) -> Seen {
    let mut seen = Seen::default();
    for operation in operations {
        let case = Case { operation: (*operation).clone(), sent_at: 0, sent_at_ms: 0, ended: None };
        operation.effects().into_iter().for_each(|effect| apply(&mut seen.users, effect));
        seen.counts.count(&case);
    }
    seen.users.retain(|_, holdings| !holdings.is_empty());
    seen
}

fn settle(session: &Session, rules: Rules, seen: &Seen) -> Findings {
    Oracle::default().settle(session, rules, seen)
}

#[test]
fn a_server_that_keeps_its_word_is_sound() {
    let (first, second, third) =
        (post(1, 0, &[1_000_000, 1_000_001]), shared(2, 0), post(3, 0, &[1_000_001]));
    let session = one_by_one(&[
        (first.clone(), End::Acknowledged),
        (second.clone(), End::Acknowledged),
        (third.clone(), broken()),
    ]);
    for (seen, present) in [(server(&[&first, &second]), 0), (server(&[&first, &second, &third]), 1)] {
        let findings = settle(&session, OPEN, &seen);
        assert!(findings.is_sound(), "{findings:?}");
        assert_eq!((findings.acknowledged, findings.unknown, findings.unknown_present), (2, 1, present));
    }
}

#[test]
fn a_missing_acknowledged_post_is_lost() {
    let (first, second) = (post(1, 0, &[1_000_000]), post(2, 0, &[1_000_001]));
    let session = one_by_one(&[(first.clone(), End::Acknowledged), (second, End::Acknowledged)]);
    let mut seen = server(&[&first]);
    assert_eq!(settle(&session, OPEN, &seen).lost, 1);
    // And missing from the report alone.
    seen.users = server(&[&first, &post(2, 0, &[1_000_001])]).users;
    let findings = settle(&session, OPEN, &seen);
    assert_eq!((findings.lost, findings.miscounted), (0, 3));
}

#[test]
fn an_older_state_is_lost_too() {
    let (first, second) = (post(1, 0, &[1_000_000]), post(2, 0, &[1_000_000]));
    let session = one_by_one(&[(first.clone(), End::Acknowledged), (second, End::Acknowledged)]);
    assert_eq!(settle(&session, OPEN, &server(&[&first])).lost, 1);
}

#[test]
fn a_membership_that_was_removed_and_is_there_is_unexpected() {
    let mut before = post(1, 0, &[1_000_000]);
    parts(&mut before)[0].changes[1].held = Some(held(1));
    let after = post(2, 0, &[1_000_000]);
    let session = one_by_one(&[(before.clone(), End::Acknowledged), (after.clone(), End::Acknowledged)]);
    let mut seen = server(&[&before, &after]);
    assert!(settle(&session, OPEN, &seen).is_sound());
    seen.users.get_mut(&1_000_000).unwrap().insert(10_002, held(1));
    assert_eq!(settle(&session, OPEN, &seen).unexpected, 1);
}

#[test]
fn a_wrong_value_or_kind_of_expiry_is_lost() {
    let first = post(1, 0, &[1_000_000]);
    let session = one_by_one(&[(first.clone(), End::Acknowledged)]);
    for wrong in [Held { value: 17, for_ever: true }, Held { value: 16, for_ever: false }] {
        let mut seen = server(&[&first]);
        seen.users.get_mut(&1_000_000).unwrap().insert(10_001, wrong);
        assert_eq!(settle(&session, OPEN, &seen).lost, 1, "{wrong:?}");
    }
}

#[test]
fn a_post_in_doubt_that_is_there_in_part_is_torn() {
    let first = post(1, 0, &[1_000_000, 1_000_001]);
    let session = one_by_one(&[(first.clone(), broken())]);
    let mut seen = server(&[&first]);
    seen.users.remove(&1_000_001);
    assert_eq!(settle(&session, OPEN, &seen).torn, 1);
    // With its users and without its part in the report, or the other way round.
    let mut seen = server(&[&first]);
    seen.counts = Counts::default();
    assert_eq!(settle(&session, OPEN, &seen).miscounted, 3);
    let seen = Seen { users: BTreeMap::new(), counts: server(&[&first]).counts };
    assert_eq!(settle(&session, OPEN, &seen).miscounted, 3);
}

#[test]
fn what_was_refused_is_not_there() {
    let first = post(1, 0, &[1_000_000]);
    let session = one_by_one(&[(first.clone(), refused())]);
    assert!(settle(&session, OPEN, &server(&[])).is_sound());
    assert_eq!(settle(&session, OPEN, &server(&[&first])).unexpected, 1);
    // By a refused POST in the place of an acknowledged one.
    let second = post(2, 0, &[1_000_000]);
    let session = one_by_one(&[(first.clone(), End::Acknowledged), (second.clone(), refused())]);
    let findings = settle(&session, OPEN, &server(&[&first, &second]));
    assert_eq!((findings.lost, findings.unexpected), (1, 1));
}

#[test]
fn after_a_failed_flush_only_what_was_under_way_is_in_doubt() {
    let (first, second) = (post(1, 0, &[1_000_000]), post(2, 0, &[1_000_001]));
    let session = one_by_one(&[(first.clone(), refused()), (second.clone(), refused())]);
    assert!(settle(&session, FAILED_DISK, &server(&[])).is_sound());
    assert!(settle(&session, FAILED_DISK, &server(&[&first])).is_sound());
    assert_eq!(settle(&session, FAILED_DISK, &server(&[&first, &second])).unexpected, 1);
    let unanswered = one_by_one(&[(first.clone(), refused()), (second.clone(), broken())]);
    assert_eq!(settle(&unanswered, FAILED_DISK, &server(&[&second])).unexpected, 1);
    // A latch that does not hold.
    let taken = one_by_one(&[(first, refused()), (second.clone(), End::Acknowledged)]);
    assert_eq!(settle(&taken, FAILED_DISK, &server(&[&second])).wrong_answers, 1);
}

#[test]
fn an_orderly_stop_leaves_nothing_of_what_it_does_not_answer() {
    let first = post(1, 0, &[1_000_000]);
    let session = one_by_one(&[(first.clone(), broken())]);
    assert!(settle(&session, STOP, &server(&[])).is_sound());
    assert_eq!(settle(&session, STOP, &server(&[&first])).unexpected, 1);
    let late = Break::LeavesNothing { unless_sent_before_ms: 2 };
    let late = Rules { on_break: late, ..STOP };
    assert_eq!(settle(&session, late, &server(&[])).wrong_answers, 1, "it was sent in time");
    let half = End::Broken { received_bytes: 10, error: "gone".to_owned() };
    assert_eq!(settle(&one_by_one(&[(first, half)]), STOP, &server(&[])).wrong_answers, 1);
}

#[test]
fn a_shared_user_holds_the_last_of_what_came_one_by_one() {
    let (first, second) = (shared(1, 0), shared(2, 1));
    let session = one_by_one(&[(first.clone(), End::Acknowledged), (second.clone(), End::Acknowledged)]);
    assert!(settle(&session, OPEN, &server(&[&first, &second])).is_sound());
    assert_eq!(settle(&session, OPEN, &server(&[&second, &first])).lost, 1);
    let mut seen = server(&[&first, &second]);
    seen.users.get_mut(&1).unwrap().insert(20_001, held(1));
    assert_eq!(settle(&session, OPEN, &seen).torn, 1);
    seen.users.remove(&1);
    assert_eq!(settle(&session, OPEN, &seen).lost, 1);
}

#[test]
fn a_shared_user_may_hold_either_of_two_that_overlapped() {
    let (first, second) = (shared(1, 0), shared(2, 1));
    let end = |id| Entry::Ended { id, end: End::Acknowledged };
    let session = Session::of([sent(&first), sent(&second), end(1), end(2)]).unwrap();
    assert!(settle(&session, OPEN, &server(&[&first, &second])).is_sound());
    assert!(settle(&session, OPEN, &server(&[&second, &first])).is_sound());
}

#[test]
fn what_nobody_sent_is_unexpected_and_what_was_counted_twice_is_seen() {
    let first = post(1, 0, &[1_000_000]);
    let session = one_by_one(&[(first.clone(), End::Acknowledged)]);
    let mut seen = server(&[&first]);
    seen.users.insert(1_000_007, Holdings::from([(10_001, held(9))]));
    assert_eq!(settle(&session, OPEN, &seen).unexpected, 1);
    let mut seen = server(&[&first]);
    seen.counts = server(&[&first, &first]).counts;
    assert_eq!(settle(&session, OPEN, &seen).miscounted, 3);
}

#[test]
fn what_was_settled_has_to_stay() {
    let first = post(1, 0, &[1_000_000]);
    let mut oracle = Oracle::default();
    assert!(oracle.settle(&one_by_one(&[(first.clone(), broken())]), OPEN, &server(&[&first])).is_sound());
    assert!(oracle.settle(&Session::default(), OPEN, &server(&[&first])).is_sound());
    let findings = oracle.settle(&Session::default(), OPEN, &server(&[]));
    assert_eq!((findings.lost, findings.miscounted), (1, 3));
}

#[test]
fn wrong_answers_and_stale_reads_are_faults() {
    let first = post(1, 0, &[1_000_000]);
    for end in [
        End::Nonsense("what".to_owned()),
        End::Refused { status: 500, says_retry_after: false },
        End::Refused { status: 503, says_retry_after: false },
    ] {
        assert_eq!(settle(&one_by_one(&[(first.clone(), end)]), OPEN, &server(&[])).wrong_answers, 1);
    }
    let session = Session::of([Entry::Read { fault: Some("old".to_owned()) }]).unwrap();
    assert_eq!(settle(&session, OPEN, &server(&[])).stale, 1);
}

#[test]
fn a_deleted_user_that_is_back_is_seen_from_one_that_stays_gone() {
    let (first, second) = (post(1, 0, &[1_000_000, 1_000_001]), delete(2, 0, 1_000_000));
    let session = one_by_one(&[(first.clone(), End::Acknowledged), (second.clone(), End::Acknowledged)]);
    let findings = settle(&session, OPEN, &server(&[&first, &second]));
    assert!(findings.is_sound(), "{findings:?}");
    assert_eq!((findings.acknowledged, findings.deleted), (2, 1));
    assert_eq!(settle(&session, OPEN, &server(&[&first])).unexpected, 1, "it came back");
    // One that took somebody else along.
    let mut seen = server(&[&first, &second]);
    seen.users.clear();
    assert_eq!(settle(&session, OPEN, &seen).lost, 1);
    // One that took the POST out of the statistics.
    let mut seen = server(&[&first, &second]);
    seen.counts = Counts::default();
    assert_eq!(settle(&session, OPEN, &seen).miscounted, 3);
    // Back only after a later start.
    let mut oracle = Oracle::default();
    assert!(oracle.settle(&session, OPEN, &server(&[&first, &second])).is_sound());
    assert_eq!(oracle.settle(&Session::default(), OPEN, &server(&[&first])).unexpected, 1);
}

#[test]
fn what_is_added_after_a_delete_is_there_and_alone() {
    let (first, second) = (post(1, 0, &[1_000_000]), delete(2, 0, 1_000_000));
    let mut third = post(3, 0, &[1_000_000]);
    parts(&mut third)[0].changes[0].segment = 10_003;
    let all = [&first, &second, &third].map(|operation| (operation.clone(), End::Acknowledged));
    let session = one_by_one(&all);
    assert!(settle(&session, OPEN, &server(&[&first, &second, &third])).is_sound());
    assert_eq!(settle(&session, OPEN, &server(&[&first, &third])).unexpected, 1, "the delete is lost");
    let mut seen = server(&[&first, &second, &third]);
    seen.users.clear();
    assert_eq!(settle(&session, OPEN, &seen).lost, 1, "the delete came last");
}

#[test]
fn a_delete_that_was_refused_changes_nothing() {
    let (first, second) = (post(1, 0, &[1_000_000]), delete(2, 0, 1_000_000));
    let session = one_by_one(&[(first.clone(), End::Acknowledged), (second.clone(), refused())]);
    assert!(settle(&session, OPEN, &server(&[&first])).is_sound());
    assert_eq!(settle(&session, OPEN, &server(&[&first, &second])).lost, 1);
    let session = one_by_one(&[(first.clone(), End::Acknowledged), (second.clone(), broken())]);
    assert_eq!(settle(&session, STOP, &server(&[&first, &second])).lost, 1);
}

#[test]
fn a_delete_in_doubt_is_there_whole_or_not_at_all() {
    let mut first = post(1, 0, &[1_000_000]);
    parts(&mut first)[0].changes[1].held = Some(held(1));
    let second = delete(2, 0, 1_000_000);
    let session = one_by_one(&[(first.clone(), End::Acknowledged), (second.clone(), broken())]);
    for (mut seen, present) in [(server(&[&first]), 0), (server(&[&first, &second]), 1)] {
        let mut oracle = Oracle::default();
        let findings = oracle.settle(&session, OPEN, &seen);
        assert!(findings.is_sound(), "{findings:?}");
        assert_eq!((findings.unknown, findings.unknown_present, findings.deleted), (1, present, 0));
        // Whichever it was, it stays so.
        seen.users = if present == 1 { server(&[&first]).users } else { BTreeMap::new() };
        assert!(!oracle.settle(&Session::default(), OPEN, &seen).is_sound());
    }
    let mut seen = server(&[&first]);
    seen.users.get_mut(&1_000_000).unwrap().remove(&10_001);
    assert_eq!(settle(&session, OPEN, &seen).torn, 1);
}

#[test]
fn a_shared_user_that_was_deleted_last_holds_nothing() {
    let (first, second, third) = (shared(1, 0), delete(2, 1, 1), shared(3, 0));
    let done = |operation: &Operation| (operation.clone(), End::Acknowledged);
    let session = one_by_one(&[done(&first), done(&second)]);
    assert!(settle(&session, OPEN, &server(&[&first, &second])).is_sound());
    assert_eq!(settle(&session, OPEN, &server(&[&first])).unexpected, 1);
    let session = one_by_one(&[done(&first), done(&second), done(&third)]);
    assert!(settle(&session, OPEN, &server(&[&first, &second, &third])).is_sound());
    assert_eq!(settle(&session, OPEN, &server(&[&first, &third, &second])).lost, 1);
    // Where they overlap, either may be the last.
    let end = |id| Entry::Ended { id, end: End::Acknowledged };
    let session = Session::of([sent(&first), sent(&second), end(1), end(2)]).unwrap();
    assert!(settle(&session, OPEN, &server(&[&first, &second])).is_sound());
    assert!(settle(&session, OPEN, &server(&[&first])).is_sound());
}

#[test]
fn a_delete_in_doubt_of_a_shared_user_leaves_all_or_nothing() {
    let (first, second) = (shared(1, 0), delete(2, 1, 1));
    let mut oracle = Oracle::default();
    assert!(
        oracle
            .settle(&one_by_one(&[(first.clone(), End::Acknowledged)]), OPEN, &server(&[&first]))
            .is_sound()
    );
    let session = one_by_one(&[(second.clone(), broken())]);
    for seen in [server(&[&first]), server(&[&first, &second])] {
        assert!(oracle.clone().settle(&session, OPEN, &seen).is_sound());
    }
    let mut seen = server(&[&first]);
    seen.users.get_mut(&1).unwrap().remove(&20_001);
    assert_eq!(oracle.clone().settle(&session, OPEN, &seen).torn, 1);
    let refused = one_by_one(&[(second.clone(), refused())]);
    assert_eq!(oracle.settle(&refused, OPEN, &server(&[&first, &second])).lost, 1);
}
