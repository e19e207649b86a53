//! What is asked of the server: POSTs of memberships, and now and then that somebody be forgotten.
//!
//! Each writer has users of its own, to which it alone posts, one POST after the other: what these hold is known
//! exactly. Some users are shared by all writers; a POST changes all segments of such a user or none, so that what
//! it holds has to come from one POST, and not from one that a later one has replaced.
//!
//! Every value names its POST, and every POST adds at least one membership to a user of its writer's own. So
//! whether a POST that was not answered has happened can be seen, whatever else it changed.

use ia_testkit::Dice;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// The segments of the users that one writer has to itself.
pub(crate) const OWN_SEGMENTS: std::ops::RangeInclusive<u32> = 10_001..=10_008;
/// The segments of the users that all writers share.
pub(crate) const SHARED_SEGMENTS: std::ops::RangeInclusive<u32> = 20_001..=20_003;
/// The users that all writers share have the ids from 1 to this.
pub(crate) const SHARED_USERS: u64 = 8;
/// The login that posts, and that reads.
pub(crate) const PROVIDER: &str = "provider";
/// The login that forgets people for all members.
pub(crate) const ADMIN: &str = "admin";
/// No segment of the catalog: what is posted to it is counted and dropped.
const NO_SEGMENT: u32 = 999_999;
/// The most users of a writer.
const USERS_APART: u64 = 1_000_000;
/// Users are so far from each other that no id can be taken for anything else, and that neighbours in a table have
/// little in common. It is odd: so all are different.
const SCATTER: u64 = 0x9e37_79b9_7f4a_7c15;
/// Values of one POST are told apart by their last four bits.
const VALUES_A_POST: u32 = 16;
/// How long memberships last that do not last for ever: far longer than a run.
const MINUTES: u32 = 14_400;

/// What one request asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Operation {
    /// Memberships, added and removed.
    Post(Post),
    /// The end of all that a user holds.
    Delete(Delete),
}

/// Asks for a user to be forgotten.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Delete {
    /// Its number: no two operations of a journal have the same.
    pub id: u32,
    /// Who sends it.
    pub writer: u16,
    /// The platform's user id.
    pub user: u64,
    /// Whether an admin asks, for all members; otherwise the member for itself.
    pub by_admin: bool,
}

/// What an operation does to one user.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Effect<'a> {
    /// Some memberships change.
    Change(&'a Part),
    /// All go.
    Forget(u64),
}

/// A POST.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Post {
    /// Its number, from 1: no two operations of a journal have the same.
    pub id: u32,
    /// Who sends it.
    pub writer: u16,
    /// Each user once.
    pub users: Vec<Part>,
    /// Segments that do not exist, all of them of the first user.
    pub invalid_segments: u32,
}

/// What a POST does to one user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Part {
    /// The platform's user id.
    pub user: u64,
    /// Each segment once.
    pub changes: Vec<Change>,
}

/// What becomes of one membership.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Change {
    /// The segment.
    pub segment: u32,
    /// What is held from now on; `None` when it is removed.
    pub held: Option<Held>,
}

/// A membership as it can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Held {
    /// Its value.
    pub value: u32,
    /// Whether it never expires.
    pub for_ever: bool,
}

impl Held {
    /// The POST that a membership comes from.
    pub(crate) fn post(self) -> u32 {
        self.value / VALUES_A_POST
    }
}

/// How large POSTs are, to how many users they go, and what comes between them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shape {
    /// The most users of the writer's own in a POST.
    pub users_per_post: u64,
    /// How many users a writer has.
    pub users_per_writer: u64,
    /// One of this many operations is a delete; 0 is none.
    pub delete_every: u32,
}

/// Whether a user is one that writers share.
pub(crate) fn is_shared(user: u64) -> bool {
    (1..=SHARED_USERS).contains(&user)
}

/// One of the users that a writer has to itself.
pub(crate) fn own_user(writer: u16, number: u64) -> u64 {
    ((u64::from(writer) + 1) * USERS_APART + number).wrapping_mul(SCATTER)
}

/// All users that a number of writers post to.
pub(crate) fn users(writers: u16, shape: Shape) -> impl Iterator<Item = u64> {
    let own = (0..writers)
        .flat_map(move |writer| (0..shape.users_per_writer).map(move |number| own_user(writer, number)));
    (1..=SHARED_USERS).chain(own)
}

impl Operation {
    /// Draws one.
    pub(crate) fn draw(dice: &mut Dice, id: u32, writer: u16, shape: Shape) -> Operation {
        // Of 0 no number is a multiple, but for 0, and operations are counted from 1.
        if !id.is_multiple_of(shape.delete_every) {
            return Operation::Post(Post::draw(dice, id, writer, shape));
        }
        let user = if dice.in_percent(30) {
            1 + dice.below(SHARED_USERS)
        } else {
            own_user(writer, dice.below(shape.users_per_writer))
        };
        Operation::Delete(Delete { id, writer, user, by_admin: dice.in_percent(50) })
    }

    /// Its number.
    pub(crate) fn id(&self) -> u32 {
        match self {
            Operation::Post(Post { id, .. }) | Operation::Delete(Delete { id, .. }) => *id,
        }
    }

    /// Who sends it.
    pub(crate) fn writer(&self) -> u16 {
        match self {
            Operation::Post(Post { writer, .. }) | Operation::Delete(Delete { writer, .. }) => *writer,
        }
    }

    /// What it does, each user once.
    pub(crate) fn effects(&self) -> Vec<Effect<'_>> {
        match self {
            Operation::Post(post) => post.users.iter().map(Effect::Change).collect(),
            Operation::Delete(delete) => vec![Effect::Forget(delete.user)],
        }
    }

    /// Where it is sent.
    pub(crate) fn path(&self) -> &'static str {
        match self {
            Operation::Post(_) => "/rt-segment",
            Operation::Delete(_) => "/privacy/consumer-request",
        }
    }

    /// The body of the request.
    pub(crate) fn body(&self) -> Vec<u8> {
        match self {
            Operation::Post(post) => post.body(),
            Operation::Delete(delete) => delete.asked().to_string().into_bytes(),
        }
    }
}

impl Delete {
    /// The fields of the request, which the answer repeats.
    pub(crate) fn asked(&self) -> Value {
        json!({"identifier": self.user.to_string(), "identifier_type": "uuid2", "request_type": "delete"})
    }
}

impl Effect<'_> {
    /// Whose memberships are meant.
    pub(crate) fn user(self) -> u64 {
        match self {
            Effect::Change(part) => part.user,
            Effect::Forget(user) => user,
        }
    }
}

impl Post {
    /// Draws one.
    pub(crate) fn draw(dice: &mut Dice, id: u32, writer: u16, shape: Shape) -> Post {
        let mut values = (id * VALUES_A_POST..(id + 1) * VALUES_A_POST).cycle();
        let mut value = || values.next().expect("it is a cycle");
        let count = 1 + dice.below(shape.users_per_post);
        let mut users = Vec::new();
        for (index, number) in dice.distinct(count, shape.users_per_writer).into_iter().enumerate() {
            let segments = 1 + dice.below(4);
            let mut changes = Vec::new();
            for offset in dice.distinct(segments, OWN_SEGMENTS.count() as u64) {
                // The first of all is an add: it shows whether the POST has happened.
                let is_mark = index == 0 && changes.is_empty();
                let held = (is_mark || !dice.in_percent(25))
                    .then(|| Held { value: value(), for_ever: dice.in_percent(70) });
                changes.push(Change { segment: OWN_SEGMENTS.start() + offset as u32, held });
            }
            users.push(Part { user: own_user(writer, number), changes });
        }
        if dice.in_percent(30) {
            let held = (!dice.in_percent(20)).then(|| Held { value: value(), for_ever: true });
            let changes = SHARED_SEGMENTS.map(|segment| Change { segment, held }).collect();
            users.push(Part { user: 1 + dice.below(SHARED_USERS), changes });
        }
        Post { id, writer, users, invalid_segments: u32::from(dice.in_percent(10)) }
    }

    /// The body of the request.
    pub(crate) fn body(&self) -> Vec<u8> {
        let block = |change: &Change| match change.held {
            Some(Held { value, for_ever }) => {
                json!({"seg_id": change.segment, "value": value, "expiration": if for_ever { 0 } else { MINUTES }})
            }
            None => json!({"seg_id": change.segment, "expiration": -1}),
        };
        let mut users: Vec<Value> = self
            .users
            .iter()
            .map(|part| {
                let blocks: Vec<Value> = part.changes.iter().map(block).collect();
                json!({"user_id": part.user.to_string(), "seg_block": blocks})
            })
            .collect();
        if let Some(blocks) = users.first_mut().and_then(|user| user["seg_block"].as_array_mut()) {
            blocks.extend((0..self.invalid_segments).map(|offset| json!({"seg_id": NO_SEGMENT + offset})));
        }
        json!({"rt_segment": users}).to_string().into_bytes()
    }

    /// How many blocks the answer has to count.
    pub(crate) fn blocks(&self) -> u64 {
        let changes: usize = self.users.iter().map(|part| part.changes.len()).sum();
        changes as u64 + u64::from(self.invalid_segments)
    }
}

/// The catalog of a run, as a file for `instant-audience apply`.
pub(crate) fn catalog() -> Value {
    let segments: Vec<Value> = OWN_SEGMENTS
        .chain(SHARED_SEGMENTS)
        .map(|id| json!({"id": id, "member_id": 958, "code": format!("code-{id}")}))
        .collect();
    let login = |name, user_type| json!({"username": name, "password": ia_testkit::PASSWORD, "member_id": 958, "user_type": user_type});
    json!({
        "members": [{"id": 958, "name": "Provider"}],
        "users": [login(PROVIDER, "member"), login(ADMIN, "admin")],
        "segments": segments,
    })
}
