use super::*;
use crate::population::{KNOWN, Population};
use serde_json::{Value, json};

const USERS: u64 = 3;
const SEGMENTS: u32 = 4;

fn bodies() -> Bodies {
    Bodies::new(Population::new(KNOWN, USERS), SEGMENTS)
}

/// The answer of a server that has all of the body.
fn complete() -> Value {
    let bodies = bodies();
    let users = (0..USERS).map(|user| {
        let segments = bodies.memberships(user).map(|m| {
            let expires_on = (m.expiration > 0).then_some("2031-01-01 00:00:00");
            json!({"id": m.segment, "code": "x", "member_id": 1, "value": m.value,
                   "added_on": "2030-12-31 00:00:00", "expires_on": expires_on, "last_seen_min": 0})
        });
        let mut segments: Vec<Value> = segments.collect();
        segments.sort_by_key(|segment| segment["id"].as_u64());
        json!({"user_id": bodies.population.id(user).to_string(), "domain": null, "segments": segments})
    });
    json!({"response": {"status": "OK", "user_segments": users.collect::<Vec<_>>(), "dbg_info": {}}})
}

/// The answer of a server that has nothing of it.
fn empty() -> Value {
    let mut answer = complete();
    for user in 0..USERS as usize {
        *segments(&mut answer, user) = Vec::new();
    }
    answer
}

fn segments(answer: &mut Value, user: usize) -> &mut Vec<Value> {
    answer["response"]["user_segments"][user]["segments"].as_array_mut().unwrap()
}

fn judged(fate: Fate, answer: &Value) -> Findings {
    judge(&bodies(), 0, fate, answer.to_string().as_bytes()).unwrap()
}

const ALL: u64 = USERS * SEGMENTS as u64;

#[test]
fn what_is_complete_is_sound() {
    let findings = judged(Fate::Acknowledged, &complete());
    assert_eq!(findings, Findings { acknowledged: ALL, ..Findings::default() });
    assert!(findings.is_sound());
}

#[test]
fn a_missing_membership_is_lost() {
    let mut answer = complete();
    let gone = segments(&mut answer, 1).remove(2);
    let findings = judged(Fate::Acknowledged, &answer);
    assert_eq!((findings.acknowledged, findings.lost, findings.unexpected), (ALL, 1, 0));
    assert!(!findings.is_sound());
    let fault = findings.first_fault.unwrap();
    assert!(fault.contains(&bodies().population.id(1).to_string()), "{fault}");
    assert!(fault.ends_with(&format!("is not in segment {}", gone["id"])), "{fault}");
}

#[test]
fn an_acknowledged_body_of_which_nothing_is_there_is_lost_wholly() {
    let findings = judged(Fate::Acknowledged, &empty());
    assert_eq!((findings.acknowledged, findings.lost), (ALL, ALL));
}

#[test]
fn another_value_or_kind_of_expiry_is_lost() {
    let mut answer = complete();
    let value = &mut segments(&mut answer, 0)[0]["value"];
    *value = json!(value.as_u64().unwrap() + 1);
    let expires_on = &mut segments(&mut answer, 2)[3]["expires_on"];
    *expires_on = if expires_on.is_null() { json!("2031-01-01 00:00:00") } else { Value::Null };
    let findings = judged(Fate::Acknowledged, &answer);
    assert_eq!((findings.lost, findings.unexpected), (2, 0));
}

#[test]
fn what_nobody_sent_is_unexpected() {
    let mut answer = complete();
    let mut twice = segments(&mut answer, 0)[0].clone();
    segments(&mut answer, 0).insert(0, twice.clone());
    // Lower, between or higher than the others: all are seen.
    for id in [0, 5_000, 20_000] {
        twice["id"] = json!(id);
        segments(&mut answer, 1).push(twice.clone());
    }
    let findings = judged(Fate::Acknowledged, &answer);
    assert_eq!((findings.lost, findings.unexpected), (0, 4));
    assert!(!findings.is_sound());
}

#[test]
fn a_body_that_was_never_sent_must_not_be_there() {
    assert!(judged(Fate::Unsent, &empty()).is_sound());
    let findings = judged(Fate::Unsent, &complete());
    assert_eq!(findings.unexpected, ALL);
    assert!(findings.first_fault.is_some());
}

#[test]
fn an_unanswered_body_is_there_wholly_or_not_at_all() {
    let present = judged(Fate::Unknown, &complete());
    assert_eq!(present, Findings { unknown_bodies_present: 1, ..Findings::default() });
    let absent = judged(Fate::Unknown, &empty());
    assert_eq!(absent, Findings { unknown_bodies_absent: 1, ..Findings::default() });
    let refused = judged(Fate::Refused, &empty());
    assert_eq!(refused, Findings { refused_bodies_absent: 1, ..Findings::default() });
    let refused = judged(Fate::Refused, &complete());
    assert_eq!(refused, Findings { refused_bodies_present: 1, ..Findings::default() });
}

#[test]
fn a_part_of_an_unanswered_body_is_torn() {
    let mut nearly_all = complete();
    segments(&mut nearly_all, 2).pop();
    let mut nearly_nothing = empty();
    segments(&mut nearly_nothing, 0).push(segments(&mut complete(), 0)[0].clone());
    let mut wrong_alone = nearly_nothing.clone();
    segments(&mut wrong_alone, 0)[0]["value"] = json!(1_000);
    for answer in [nearly_all, nearly_nothing, wrong_alone] {
        for fate in [Fate::Unknown, Fate::Refused] {
            let findings = judged(fate, &answer);
            assert_eq!(findings.torn_bodies, 1, "{answer}");
            assert!(!findings.is_sound());
        }
    }
}

#[test]
fn an_answer_about_other_users_is_no_answer() {
    let mut swapped = complete();
    swapped["response"]["user_segments"].as_array_mut().unwrap().swap(0, 1);
    let mut short = complete();
    short["response"]["user_segments"].as_array_mut().unwrap().pop();
    let mut failed = complete();
    failed["response"]["status"] = json!("ERROR");
    for answer in [swapped, short, failed, json!({"response": {"status": "OK"}}), json!([])] {
        let result = judge(&bodies(), 0, Fate::Acknowledged, answer.to_string().as_bytes());
        assert!(result.is_err(), "{answer}");
    }
}

#[test]
fn findings_add_up_and_keep_the_first_fault() {
    let fault = |text: &str| Findings { lost: 1, first_fault: Some(text.to_owned()), ..Findings::default() };
    let mut sum = Findings { acknowledged: 5, ..Findings::default() };
    sum.add(fault("a"));
    sum.add(fault("b"));
    assert_eq!((sum.acknowledged, sum.lost, sum.first_fault.as_deref()), (5, 2, Some("a")));
}
