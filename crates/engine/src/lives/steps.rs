//! The steps of a life, and strategies that choose them.

use crate::upkeep;
use ia_model::{Domain, MemberId, UserKey};
use ia_profiles::Stage;
use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::{Value, json};

/// The writing members.
pub(super) const MEMBERS: [u32; 3] = [1, 2, OWN_IDS];
/// This member's ids without a domain are its own.
pub(super) const OWN_IDS: u32 = 4;
pub(super) const LINKS_PER_USER: usize = 2;

/// The settings of a life's machine.
#[derive(Debug, Clone, Copy)]
pub(super) struct TestbedChoice {
    pub(super) segment_bytes: u64,
    pub(super) memory_budget_bytes: u64,
    /// Whether the statistics are in SQLite.
    pub(super) has_sqlite: bool,
    /// Whether the store of the profiles compacts in a thread of its own. Without it, its files can be copied.
    pub(super) has_worker: bool,
    /// The random seed for what a power cut leaves.
    pub(super) seed: u64,
}

#[derive(Debug, Clone)]
pub(super) enum Step {
    Post(Post),
    /// Requests that arrive while the first is being flushed.
    Burst(Vec<Post>),
    /// A burst in which the disk fails after some calls, then a crash.
    BurstAndCrash {
        posts: Vec<Post>,
        calls: u64,
        how: Crash,
    },
    Erase(User, Option<Vec<u32>>),
    /// A user is added and erased, and a stop falls into the checkpoint after it.
    ForgetAndCrash {
        user: User,
        /// Whether the user gets into tables before.
        checkpoint_first: bool,
        stop: Stop,
        how: Crash,
    },
    /// Links a member's and extended ids to a platform user, for a number of minutes.
    Link(User, Vec<User>, u32),
    /// The clock advances by milliseconds.
    Later(u64),
    /// The clock is set back by milliseconds.
    Earlier(u64),
    Checkpoint,
    WriteStatistics,
    WarmUp,
    Load(User),
    Crash(Crash),
    Restart,
}

/// A moment of a checkpoint.
#[derive(Debug, Clone, Copy)]
pub(super) enum Stop {
    /// Between two steps.
    After(upkeep::Step),
    /// While the profiles are written.
    In(Stage),
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Crash {
    Kill,
    PowerCut,
}

/// A `POST /rt-segment`.
#[derive(Debug, Clone)]
pub(super) struct Post {
    pub(super) member: u32,
    pub(super) users: Vec<(SentId, Vec<Block>)>,
}

/// An id as it is sent.
#[derive(Debug, Clone, Copy)]
pub(super) enum SentId {
    Well(User, Spelling),
    /// 255 bytes, the maximum; not a platform id.
    Long,
    Zero,
    UnknownDomain,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Spelling {
    Canonical,
    Other,
    /// As a number, if possible.
    Number,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Block {
    pub(super) segment: u32,
    pub(super) by_code: bool,
    pub(super) value: u32,
    pub(super) expiration: Option<i64>,
}

/// A user: the number of its domain, and a number for its id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct User {
    domain: u8,
    number: u64,
}

const DOMAINS: [Option<&str>; 13] = [
    None,
    Some("idfa"),
    Some("aaid"),
    Some("sha1udid"),
    Some("md5udid"),
    Some("openudid"),
    Some("windowsadid"),
    Some("rida"),
    Some("tifa"),
    Some("vida"),
    Some("lgudid"),
    // The two have the same ids.
    Some("eid:a.example"),
    Some("eid:b.example"),
];
/// The number of the first domain of extended ids; the rest are too.
const EXTENDED: u8 = 11;

const NUMBERS: [u64; 2] = [7, u64::MAX];
const PLATFORM: u8 = 0;
/// The number of the members' own ids, which have no domain on the wire.
const EXTERNAL: u8 = DOMAINS.len() as u8;

pub(super) fn platform_users() -> impl Iterator<Item = User> {
    NUMBERS.into_iter().map(|number| User { domain: PLATFORM, number })
}

fn own_ids() -> impl Iterator<Item = User> {
    [7, 8, u64::MAX].into_iter().map(|number| User { domain: EXTERNAL, number })
}

/// What can be linked to a platform user.
fn linkable_ids() -> impl Iterator<Item = User> {
    own_ids().chain((EXTENDED..EXTERNAL).map(|domain| User { domain, number: 7 }))
}

pub(super) fn all_users() -> impl Iterator<Item = User> {
    (0..EXTERNAL).flat_map(|domain| NUMBERS.map(|number| User { domain, number })).chain(own_ids())
}

impl User {
    pub(super) fn domain(self) -> Option<&'static str> {
        DOMAINS.get(usize::from(self.domain)).copied().flatten()
    }

    pub(super) fn is_platform(self) -> bool {
        self.domain == PLATFORM
    }

    /// A platform user with digits that occur nowhere else.
    fn unmistakable(number: u64) -> User {
        User { domain: PLATFORM, number: 7_301_234_567_890_123_457 + number * 1_000_003 }
    }

    /// Every form of the id in a file. A table leaves out the part of a key that is equal to the key before it.
    pub(super) fn traces(self) -> [Vec<u8>; 2] {
        [self.id().into_bytes(), self.number.to_be_bytes()[2..].to_vec()]
    }

    /// The user that a member means by this id and domain.
    fn as_sent_by(self, member: u32) -> User {
        match self.domain {
            PLATFORM | EXTERNAL => {
                User { domain: if member == OWN_IDS { EXTERNAL } else { PLATFORM }, ..self }
            }
            _ => self,
        }
    }

    /// The id in its canonical spelling.
    pub(super) fn id(self) -> String {
        let number = self.number;
        match self.domain() {
            None => number.to_string(),
            Some("sha1udid" | "openudid") => format!("{number:040x}"),
            Some("md5udid") => format!("{number:032x}"),
            Some(_) if self.domain >= EXTENDED => format!("Eid \"{number}"),
            Some(_) => format!("abcdef01-2345-6789-{:04x}-{:012x}", number >> 48, number & 0xffff_ffff_ffff),
        }
    }

    pub(super) fn key(self) -> UserKey {
        if self.domain == EXTERNAL {
            return UserKey::external(MemberId(OWN_IDS), &self.id()).unwrap();
        }
        if let Some(source) = self.domain().and_then(Domain::source_in) {
            return UserKey::extended(source, &self.id()).unwrap();
        }
        let domain = self.domain().map_or(Domain::Platform, |name| Domain::from_name(name).unwrap());
        UserKey::parse(domain, &self.id()).unwrap()
    }

    fn spelled(self, spelling: Spelling) -> (Value, Option<&'static str>) {
        let (id, domain) = (self.id(), self.domain());
        let other = match domain {
            // Another spelling of a member's own id is another id.
            None if self.domain == EXTERNAL => id.clone(),
            None => format!("000{id}"),
            Some(_) if self.domain >= EXTENDED => format!(" {id}\t"),
            Some("sha1udid" | "openudid" | "md5udid") => id.to_uppercase(),
            Some(_) => id.to_uppercase().replace('-', ""),
        };
        match (spelling, domain) {
            (Spelling::Number, None) => (json!(self.number), None),
            (Spelling::Canonical, _) => (json!(id), domain),
            (Spelling::Number | Spelling::Other, _) => {
                let domain = match domain {
                    Some("sha1udid") => Some("sh1udid"),
                    Some("eid:b.example") => Some(" EID : B.Example "),
                    same => same,
                };
                (json!(other), domain)
            }
        }
    }
}

impl SentId {
    fn by(self, member: u32) -> SentId {
        match self {
            SentId::Well(user, spelling) => SentId::Well(user.as_sent_by(member), spelling),
            // For this member these are valid ids.
            SentId::Long | SentId::Zero if member == OWN_IDS => SentId::UnknownDomain,
            sent => sent,
        }
    }

    fn on_the_wire(self) -> (Value, Option<&'static str>) {
        match self {
            SentId::Well(user, spelling) => user.spelled(spelling),
            SentId::Long => (json!("x".repeat(255)), None),
            SentId::Zero => (json!("0"), None),
            SentId::UnknownDomain => (json!("7"), Some("sha1mac")),
        }
    }
}

/// The owner of a segment; for a segment that does not exist, member 1.
pub(super) fn owner(segment: u32) -> u32 {
    match segment {
        20 => 2,
        30 => 3,
        _ => 1,
    }
}

impl Block {
    fn json(&self) -> Value {
        let mut block = json!({"value": self.value});
        if self.by_code {
            block["seg_code"] = json!(format!("C{}", self.segment));
            block["member_id"] = json!(owner(self.segment));
        } else {
            block["seg_id"] = json!(self.segment);
        }
        if let Some(expiration) = self.expiration {
            block["expiration"] = json!(expiration);
        }
        block
    }
}

impl Post {
    /// The users with well-formed ids.
    pub(super) fn well_formed_users(&self) -> impl Iterator<Item = User> {
        self.users.iter().filter_map(|(sent, _)| match sent {
            SentId::Well(user, _) => Some(*user),
            SentId::Long | SentId::Zero | SentId::UnknownDomain => None,
        })
    }

    /// The body of the request.
    pub(super) fn text(&self) -> String {
        let users = self.users.iter().map(|(sent, blocks)| {
            let (id, domain) = sent.on_the_wire();
            let blocks: Vec<Value> = blocks.iter().map(Block::json).collect();
            json!({"user_id": id, "domain": domain, "seg_block": blocks})
        });
        json!({"rt_segment": users.collect::<Vec<_>>()}).to_string()
    }
}

fn select(users: impl Iterator<Item = User>) -> impl Strategy<Value = User> {
    prop::sample::select(users.collect::<Vec<_>>())
}

fn any_user() -> impl Strategy<Value = User> {
    // Some users occur often.
    prop_oneof![
        3 => prop::sample::select(vec![User { domain: 0, number: 7 }, User { domain: 1, number: 7 }]),
        2 => select(all_users()),
        1 => select(own_ids()),
    ]
}

fn any_sent_id() -> impl Strategy<Value = SentId> {
    let spelling = prop::sample::select(vec![Spelling::Canonical, Spelling::Other, Spelling::Number]);
    prop_oneof![
        20 => (any_user(), spelling).prop_map(|(user, spelling)| SentId::Well(user, spelling)),
        1 => Just(SentId::Long),
        1 => Just(SentId::Zero),
        1 => Just(SentId::UnknownDomain),
    ]
}

fn any_block() -> impl Strategy<Value = Block> {
    let segment = prop_oneof![
        8 => prop::sample::select(vec![10, 11, 13, 20]),
        1 => prop::sample::select(vec![12, 30, 99]),
        1 => 1000u32..1005,
    ];
    let value = prop_oneof![0u32..3, Just(2_147_483_647)];
    let expiration =
        prop_oneof![Just(None), Just(Some(-1)), Just(Some(0)), (1i64..8).prop_map(Some), Just(Some(1440))];
    (segment, any::<bool>(), value, expiration).prop_map(|(segment, by_code, value, expiration)| Block {
        segment,
        by_code,
        value,
        expiration,
    })
}

/// More segments than fit a page of profiles.
fn many_blocks() -> impl Strategy<Value = Vec<Block>> {
    (1000u32..1100, 100u32..300, 1u32..1000, 1i64..50).prop_map(|(first, count, value, minutes)| {
        (first..first + count)
            .map(|segment| Block {
                segment,
                by_code: false,
                value: value * segment,
                expiration: Some(minutes + i64::from(segment % 7)),
            })
            .collect()
    })
}

fn any_post() -> impl Strategy<Value = Post> {
    let blocks = prop_oneof![30 => vec(any_block(), 1..6).boxed(), 1 => many_blocks().boxed()];
    let member = prop_oneof![4 => Just(1u32), 1 => Just(2), 2 => Just(OWN_IDS)];
    (member, vec((any_sent_id(), blocks), 1..5)).prop_map(|(member, users)| Post {
        member,
        users: users.into_iter().map(|(sent, blocks)| (sent.by(member), blocks)).collect(),
    })
}

/// Adds one user to one segment for ever.
pub(super) fn post_of(user: User) -> Post {
    let block = Block { segment: 10, by_code: false, value: 1, expiration: Some(0) };
    Post { member: 1, users: vec![(SentId::Well(user, Spelling::Canonical), vec![block])] }
}

fn any_stop() -> impl Strategy<Value = Stop> {
    use upkeep::Step::{Scrubbed, Sealed, Trimmed, Written};

    let stages = vec![Stage::PositionRead, Stage::Collected, Stage::Written, Stage::Clean, Stage::Rewritten];
    prop_oneof![
        prop::sample::select(vec![Sealed, Written, Scrubbed, Trimmed]).prop_map(Stop::After),
        prop::sample::select(stages).prop_map(Stop::In),
    ]
}

fn any_crash() -> impl Strategy<Value = Crash> {
    prop::sample::select(vec![Crash::Kill, Crash::PowerCut])
}

pub(super) fn any_step() -> impl Strategy<Value = Step> {
    let erased = prop::option::of(vec(prop::sample::select(vec![10, 11, 13, 20, 1000]), 0..4));
    let posts = || vec(any_post(), 1..5);
    prop_oneof![
        10 => any_post().prop_map(Step::Post),
        3 => posts().prop_map(Step::Burst),
        3 => (posts(), 0u64..14, any_crash())
            .prop_map(|(posts, calls, how)| Step::BurstAndCrash { posts, calls, how }),
        2 => (select(platform_users()), vec(select(linkable_ids()), 1..4), prop_oneof![1u32..20, Just(25_920)])
            .prop_map(|(user, ids, minutes)| Step::Link(user, ids, minutes)),
        2 => (any_user(), erased).prop_map(|(user, segments)| Step::Erase(user, segments)),
        2 => ((0u64..1000).prop_map(User::unmistakable), any::<bool>(), any_stop(), any_crash())
            .prop_map(|(user, checkpoint_first, stop, how)| {
                Step::ForgetAndCrash { user, checkpoint_first, stop, how }
            }),
        4 => (0u64..5 * 60_000).prop_map(Step::Later),
        1 => (0u64..30 * 3_600_000).prop_map(Step::Later),
        1 => (0u64..20 * 60_000).prop_map(Step::Earlier),
        3 => Just(Step::Checkpoint),
        2 => Just(Step::WriteStatistics),
        1 => Just(Step::WarmUp),
        1 => any_user().prop_map(Step::Load),
        2 => any_crash().prop_map(Step::Crash),
        1 => Just(Step::Restart),
    ]
}

pub(super) fn any_testbed() -> impl Strategy<Value = TestbedChoice> {
    let segment_bytes = prop::sample::select(vec![1024, 4096, 20_000]);
    let memory_budget_bytes = prop::sample::select(vec![0, 12_000, 1 << 20]);
    let has_sqlite = prop::bool::weighted(0.15);
    (segment_bytes, memory_budget_bytes, has_sqlite, any::<bool>(), any::<u64>()).prop_map(
        |(segment_bytes, memory_budget_bytes, has_sqlite, has_worker, seed)| TestbedChoice {
            segment_bytes,
            memory_budget_bytes,
            has_sqlite,
            has_worker,
            seed,
        },
    )
}
