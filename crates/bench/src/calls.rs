//! What is sent beside POSTs of memberships: the catalog file, the login, reads; and a population cut into bodies.

use crate::body::Form;
use crate::population::{Membership, Population, SEGMENTS};
use bytes::Bytes;
use std::fmt::Write;

/// The one login of the catalog.
pub(crate) const USERNAME: &str = "bench";
/// Its password; it protects nothing but the server that the bench starts.
pub(crate) const PASSWORD: &str = "Loopback-Only-1";

/// The most users of one request.
pub(crate) const MAX_USERS: u64 = 1000;

/// A catalog of one member with one login and all segments, each with a code as owners give them.
pub(crate) fn catalog() -> String {
    let mut text = format!(
        r#"{{"members":[{{"id":1,"name":"Bench"}}],"users":[{{"username":"{USERNAME}","password":"{PASSWORD}","member_id":1}}],"segments":["#
    );
    for id in 1..=SEGMENTS {
        let comma = if id == 1 { "" } else { "," };
        append(&mut text, format_args!(r#"{comma}{{"id":{id},"member_id":1,"code":"segment_{id}"}}"#));
    }
    text.push_str("]}");
    text
}

/// The body of `POST /auth`.
pub(crate) fn login(username: &str) -> Bytes {
    format!(r#"{{"auth":{{"username":"{username}","password":"{PASSWORD}"}}}}"#).into()
}

/// The body of `POST /user-segment` that asks for those ids.
pub(crate) fn ask(ids: impl Iterator<Item = u64>) -> Bytes {
    let mut text = String::from(r#"{"users":["#);
    for (index, id) in ids.enumerate() {
        let comma = if index == 0 { "" } else { "," };
        append(&mut text, format_args!(r#"{comma}{{"user_id":"{id}"}}"#));
    }
    text.push_str("]}");
    text.into()
}

/// A population cut into bodies of up to so many users, in order.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bodies {
    /// Whose memberships.
    pub population: Population,
    /// How many each user has.
    pub segments: u32,
    /// Users of a body.
    pub users_per_body: u64,
}

impl Bodies {
    /// Bodies of 1,000 users.
    pub(crate) fn new(population: Population, segments: u32) -> Bodies {
        Bodies { population, segments, users_per_body: MAX_USERS }
    }

    /// Bodies of as many memberships as a thousand users have that are in ten segments each: bodies, and answers that
    /// show their users, stay as large, however wide the users are.
    pub(crate) fn of_wide_users(population: Population, segments: u32) -> Bodies {
        let users_per_body = (10 * MAX_USERS / u64::from(segments).max(1)).clamp(1, MAX_USERS);
        Bodies { population, segments, users_per_body }
    }

    /// How many bodies there are.
    pub(crate) fn count(&self) -> usize {
        usize::try_from(self.population.users.div_ceil(self.users_per_body))
            .expect("bodies fit in memory by far")
    }

    /// The users of a body.
    pub(crate) fn users(&self, body: usize) -> std::ops::Range<u64> {
        let start = body as u64 * self.users_per_body;
        start..(start + self.users_per_body).min(self.population.users)
    }

    /// What a body must leave behind for a user of it.
    pub(crate) fn memberships(&self, user: u64) -> impl Iterator<Item = Membership> + use<> {
        self.population.memberships(user, 0, self.segments)
    }

    /// How many memberships a body holds.
    pub(crate) fn memberships_of(&self, body: usize) -> u64 {
        let users = self.users(body);
        (users.end - users.start) * u64::from(self.segments)
    }

    /// The body that adds them.
    pub(crate) fn add(&self, body: usize) -> Bytes {
        let users = self.users(body).map(|user| (self.population.id(user), self.memberships(user).collect()));
        Form::Documented.body(users.collect())
    }

    /// The body that asks for its users.
    pub(crate) fn ask(&self, body: usize) -> Bytes {
        ask(self.users(body).map(|user| self.population.id(user)))
    }
}

fn append(text: &mut String, arguments: std::fmt::Arguments) {
    text.write_fmt(arguments).expect("writing to a String does not fail");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::population::KNOWN;
    use serde_json::{Value, json};

    fn parsed(bytes: &[u8]) -> Value {
        serde_json::from_slice(bytes).unwrap()
    }

    #[test]
    fn a_body_says_what_the_population_says() {
        let bodies = Bodies::new(Population::new(KNOWN, 2), 2);
        let added = parsed(&bodies.add(0));
        let added = added["rt_segment"].as_array().unwrap();
        for (user, added) in (0..2).zip(added) {
            assert_eq!(added["user_id"], bodies.population.id(user).to_string());
            let sent: Vec<u64> = added["seg_block"]
                .as_array()
                .unwrap()
                .iter()
                .map(|block| block["seg_id"].as_u64().unwrap())
                .collect();
            let expected: Vec<u64> = bodies.memberships(user).map(|m| m.segment.into()).collect();
            assert_eq!(sent, expected);
        }
        let ids: Vec<Value> =
            (0..2).map(|user| json!({"user_id": bodies.population.id(user).to_string()})).collect();
        assert_eq!(parsed(&bodies.ask(0)), json!({"users": ids}));
    }

    #[test]
    fn bodies_cover_every_user_once() {
        for (users, segments) in [(1, 3), (999, 3), (1000, 3), (1001, 3), (2500, 3), (101, 300)] {
            let bodies = Bodies::of_wide_users(Population::new(KNOWN, users), segments);
            assert!((0..bodies.count()).all(|body| bodies.memberships_of(body) <= 10_000));
            let covered: Vec<u64> = (0..bodies.count()).flat_map(|body| bodies.users(body)).collect();
            assert_eq!(covered, (0..users).collect::<Vec<_>>());
            let memberships: u64 = (0..bodies.count()).map(|body| bodies.memberships_of(body)).sum();
            assert_eq!(memberships, users * u64::from(segments));
        }
    }

    #[test]
    fn the_catalog_has_every_segment_and_the_login() {
        let catalog = parsed(catalog().as_bytes());
        let segments = catalog["segments"].as_array().unwrap();
        assert_eq!(segments.len(), SEGMENTS as usize);
        assert_eq!(segments[0], json!({"id": 1, "member_id": 1, "code": "segment_1"}));
        assert_eq!(catalog["users"][0]["username"], USERNAME);
        assert_eq!(parsed(&login(USERNAME))["auth"]["password"], PASSWORD);
    }
}
