//! Who is in which segment according to a file, and the files that say so.

use crate::body::Form;
use crate::calls::{MAX_USERS, PASSWORD};
use crate::client::Call;
use crate::population::{Membership, Population};
use crate::workload::Prepared;
use flate2::Compression;
use flate2::write::GzEncoder;
use ia_testkit::mix;
use std::io::{self, Write};
use std::sync::Arc;

/// Segments of each member.
pub(super) const SEGMENTS: u32 = 200;

/// Segments of each user.
pub(super) const PER_USER: u32 = 10;

/// The users of a member's file.
#[derive(Debug, Clone, Copy)]
pub(super) struct Crowd {
    member: u32,
    population: Population,
}

impl Crowd {
    /// `users` users for the segments of `member`. No two members share a user.
    pub(super) fn new(member: u32, users: u64) -> Crowd {
        Crowd { member, population: Population::new(member.into(), users) }
    }

    pub(super) fn users(&self) -> u64 {
        self.population.users
    }

    pub(super) fn memberships_count(&self) -> u64 {
        self.users() * u64::from(PER_USER)
    }

    /// The platform id of a user: spread over the positive numbers of 64 bits, which is what Avro has for them.
    pub(super) fn id(&self, user: u64) -> u64 {
        self.population.id(user) & (u64::MAX >> 1)
    }

    /// The memberships of a user: different segments of the member.
    pub(super) fn memberships(&self, user: u64) -> impl Iterator<Item = Membership> + use<> {
        let random = mix(self.id(user) ^ mix(self.member.into()));
        let first = (self.member - 1) * SEGMENTS + 1;
        let start = random % u64::from(SEGMENTS);
        // A stride that ends in 1 has no divisor in common with 200: the walk meets no segment twice.
        let stride = 10 * ((random >> 32) % 20) + 1;
        (0..u64::from(PER_USER)).map(move |step| {
            let place = (start + step * stride) % u64::from(SEGMENTS);
            let random = mix(random ^ place);
            Membership {
                segment: first + u32::try_from(place).expect("there are 200"),
                value: (random % 100) as u32,
                expiration: if random >> 63 == 0 { 1440 } else { 0 },
            }
        })
    }

    /// Lines of text in the layout that members have by default, packed by gzip.
    pub(super) fn gzip(&self) -> io::Result<Vec<u8>> {
        let mut file = GzEncoder::new(Vec::new(), Compression::default());
        let mut line = Vec::new();
        for user in 0..self.users() {
            line.clear();
            write_line(&mut line, self.id(user), self.memberships(user))?;
            file.write_all(&line)?;
        }
        file.finish()
    }

    /// The same as bodies of `POST /rt-segment`, in the documented form.
    pub(super) fn bodies(&self) -> Arc<[Prepared]> {
        let starts = (0..self.users()).step_by(usize::try_from(MAX_USERS).expect("it is a thousand"));
        let body = |start: u64| {
            let users = start..(start + MAX_USERS).min(self.users());
            let count = users.end - users.start;
            let adds = users.map(|user| (self.id(user), self.memberships(user).collect()));
            let segments = count * u64::from(PER_USER);
            let mark =
                format!(r#""users_in_request":{count},"segments_in_request":{segments}}},"warnings":[]"#);
            let body = Form::Documented.body(adds.collect());
            Prepared { call: Call::post("/rt-segment", body), mark: mark.into() }
        };
        starts.map(body).collect()
    }
}

/// A line of a file: the user and its segments.
pub(super) fn write_line(
    out: &mut Vec<u8>,
    user: u64,
    memberships: impl Iterator<Item = Membership>,
) -> io::Result<()> {
    write!(out, "{user}")?;
    for (index, Membership { segment, value, expiration }) in memberships.enumerate() {
        let sign = if index == 0 { ':' } else { ';' };
        write!(out, "{sign}{segment},{expiration},{value}")?;
    }
    writeln!(out)
}

/// The login of a member.
pub(super) fn username(member: u32) -> String {
    format!("bench{member}")
}

/// A catalog of that many members, each with a login and its segments.
pub(super) fn catalog(members: u32) -> String {
    let list = |of: &dyn Fn(u32) -> String, count: u32| (1..=count).map(of).collect::<Vec<_>>().join(",");
    let member = |id| format!(r#"{{"id":{id},"name":"Bench {id}"}}"#);
    let login = |id| {
        let username = username(id);
        format!(r#"{{"username":"{username}","password":"{PASSWORD}","member_id":{id}}}"#)
    };
    let segment = |id| {
        let owner = (id - 1) / SEGMENTS + 1;
        format!(r#"{{"id":{id},"member_id":{owner},"code":"segment_{id}"}}"#)
    };
    format!(
        r#"{{"members":[{}],"users":[{}],"segments":[{}]}}"#,
        list(&member, members),
        list(&login, members),
        list(&segment, members * SEGMENTS),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::read::GzDecoder;
    use serde_json::Value;
    use std::collections::HashSet;
    use std::io::Read;

    #[test]
    fn a_user_is_in_ten_different_segments_of_its_member() {
        for member in [1, 4] {
            let crowd = Crowd::new(member, 3000);
            let mut ids = HashSet::new();
            for user in 0..crowd.users() {
                assert!(i64::try_from(crowd.id(user)).is_ok() && ids.insert(crowd.id(user)));
                let segments: HashSet<u32> = crowd.memberships(user).map(|m| m.segment).collect();
                assert_eq!(segments.len(), PER_USER as usize);
                assert!(segments.iter().all(|segment| (segment - 1) / SEGMENTS + 1 == member));
            }
        }
    }

    #[test]
    fn a_file_and_bodies_say_the_same() {
        let crowd = Crowd::new(2, 1500);
        let mut text = String::new();
        GzDecoder::new(&crowd.gzip().unwrap()[..]).read_to_string(&mut text).unwrap();
        let bodies = crowd.bodies();
        let users = bodies.iter().flat_map(|prepared| {
            let body: Value = serde_json::from_slice(&prepared.call.body).unwrap();
            body["rt_segment"].as_array().unwrap().clone()
        });
        let lines: Vec<String> = users
            .map(|user| {
                let blocks = user["seg_block"].as_array().unwrap().iter();
                let blocks: Vec<String> = blocks
                    .map(|block| format!("{},{},{}", block["seg_id"], block["expiration"], block["value"]))
                    .collect();
                format!("{}:{}", user["user_id"].as_str().unwrap(), blocks.join(";"))
            })
            .collect();
        assert_eq!(text.lines().collect::<Vec<_>>(), lines);
        assert_eq!((bodies.len(), lines.len()), (2, 1500));
    }

    #[test]
    fn the_catalog_has_the_logins_and_segments_of_all_members() {
        let catalog: Value = serde_json::from_str(&catalog(3)).unwrap();
        assert_eq!(catalog["users"][2]["username"], username(3));
        let segments = catalog["segments"].as_array().unwrap();
        assert_eq!(segments.len(), 600);
        assert_eq!((&segments[199]["member_id"], &segments[200]["member_id"]), (&1.into(), &2.into()));
    }
}
