//! The real binary with the least memory for profiles, killed while users are written that are on disk only:
//! afterwards every change that was answered OK is there, and nobody who was deleted.

use ia_testkit::{Client, Dice, Metrics, ServerProcess, send};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

const BINARY: &str = env!("CARGO_BIN_EXE_instant-audience");
const USERS: u64 = 8000;
const WRITERS: u64 = 4;
const SEGMENTS: std::ops::RangeInclusive<u32> = 101..=104;
/// How many users are sent or asked for at once, at most.
const AT_ONCE: usize = 1000;

const SETTINGS: [(&str, &str); 7] = [
    ("INSTANT_AUDIENCE__PROFILES__MEMORY_BUDGET", "1MiB"),
    ("INSTANT_AUDIENCE__LIMITS__POSTS_PER_SECOND", "0"),
    ("INSTANT_AUDIENCE__LIMITS__GETS_PER_SECOND", "0"),
    ("INSTANT_AUDIENCE__LOG__SEGMENT_BYTES", "1MiB"),
    // Often, so that kills meet checkpoints.
    ("INSTANT_AUDIENCE__PROFILES__CHECKPOINT_INTERVAL_SECONDS", "1"),
    ("INSTANT_AUDIENCE__PROFILES__CHECKPOINT_LOG_BYTES", "32KiB"),
    ("INSTANT_AUDIENCE__SERVER__LOG_LEVEL", "warn"),
];

/// Values by segment.
type Holdings = BTreeMap<u32, u32>;

const SOURCE: &str = "eid:cold.example";

/// The id of a user: so long that few fit into memory, and neighbours are far from each other.
fn id(number: u64) -> String {
    format!("{:016x}{}", (number + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15), "-".repeat(200))
}

/// A writer's knowledge of its users.
#[derive(Default)]
struct Journal {
    acknowledged: BTreeMap<u64, Holdings>,
    /// What its users hold after the request that was not answered yet.
    in_doubt: Vec<(u64, Holdings)>,
    requests: u64,
    deletes: u64,
}

impl Journal {
    fn holds(&self, user: u64) -> Holdings {
        self.acknowledged.get(&user).cloned().unwrap_or_default()
    }

    fn acknowledge(&mut self) {
        self.acknowledged.extend(self.in_doubt.drain(..));
        self.requests += 1;
    }
}

fn body(user: u64, before: &Holdings, after: &Holdings) -> Value {
    let added = after.iter().filter(|&(segment, value)| before.get(segment) != Some(value));
    let removed = before.keys().filter(|segment| !after.contains_key(segment));
    let blocks: Vec<Value> = added
        .map(|(segment, value)| json!({"seg_id": segment, "value": value}))
        .chain(removed.map(|segment| json!({"seg_id": segment, "expiration": -1})))
        .collect();
    json!({"user_id": id(user), "domain": SOURCE, "seg_block": blocks})
}

/// Gives everybody some memberships.
async fn fill(client: &Client, journals: &[Arc<Mutex<Journal>>]) {
    let all: Vec<u64> = (0..USERS).collect();
    for users in all.chunks(AT_ONCE) {
        let mut bodies = Vec::new();
        for &user in users {
            let after: Holdings = SEGMENTS.map(|segment| (segment, user as u32)).collect();
            bodies.push(body(user, &Holdings::new(), &after));
            journals[(user % WRITERS) as usize].lock().unwrap().acknowledged.insert(user, after);
        }
        client.post("/rt-segment", &json!({"rt_segment": bodies})).await.ok();
    }
}

/// Writes to users of its own until the server is gone.
async fn write(provider: Client, admin: Client, writer: u64, mut dice: Dice, journal: Arc<Mutex<Journal>>) {
    loop {
        let is_delete = dice.in_percent(10);
        let count = if is_delete { 1 } else { 1 + dice.below(20) };
        let users = dice.distinct(count, USERS / WRITERS).into_iter().map(|number| number * WRITERS + writer);
        let mut bodies = Vec::new();
        let mut after_all = Vec::new();
        for user in users {
            let before = journal.lock().unwrap().holds(user);
            let mut after = if is_delete { Holdings::new() } else { before.clone() };
            let changes = if is_delete { 0 } else { 1 + dice.below(3) };
            for segment in dice.distinct(changes, SEGMENTS.count() as u64) {
                let segment = SEGMENTS.start() + segment as u32;
                if dice.in_percent(25) {
                    after.remove(&segment);
                } else {
                    after.insert(segment, dice.below(1 << 31) as u32);
                }
            }
            bodies.push(body(user, &before, &after));
            after_all.push((user, after));
        }
        let user = after_all[0].0;
        journal.lock().unwrap().in_doubt = after_all;
        let answered = if is_delete {
            let request =
                json!({"identifier": id(user), "identifier_type": SOURCE, "request_type": "delete"});
            admin.try_post("/privacy/consumer-request", &request).await
        } else {
            provider.try_post("/rt-segment", &json!({"rt_segment": bodies})).await
        };
        let Ok(answer) = answered else { return };
        answer.ok();
        let mut journal = journal.lock().unwrap();
        journal.acknowledge();
        journal.deletes += u64::from(is_delete);
    }
}

async fn read(client: &Client, users: &[u64]) -> Vec<Holdings> {
    let mut found = Vec::new();
    for users in users.chunks(AT_ONCE) {
        let asked: Vec<Value> =
            users.iter().map(|&user| json!({"user_id": id(user), "domain": SOURCE})).collect();
        let answer = client.post("/user-segment", &json!({"users": asked})).await.ok();
        let number = |of: &Value| u32::try_from(of.as_u64().unwrap()).unwrap();
        found.extend(answer["user_segments"].as_array().unwrap().iter().map(|shown| {
            let segments = shown["segments"].as_array().unwrap();
            segments.iter().map(|of| (number(&of["id"]), number(&of["value"]))).collect::<Holdings>()
        }));
    }
    assert_eq!(found.len(), users.len());
    found
}

/// Compares users with the journal; a request that was not answered has happened wholly or not at all.
async fn check(client: &Client, journal: &mut Journal, users: &[u64]) {
    let doubted = std::mem::take(&mut journal.in_doubt);
    let ids: Vec<u64> = doubted.iter().map(|(user, _)| *user).collect();
    let found = read(client, &ids).await;
    let is_before = doubted.iter().zip(&found).all(|((user, _), found)| *found == journal.holds(*user));
    let is_after = doubted.iter().zip(&found).all(|((_, after), found)| found == after);
    assert!(is_before || is_after, "a request is there in part: {doubted:?}, {found:?}");
    if is_after {
        journal.acknowledged.extend(doubted);
    }
    for (user, found) in users.iter().zip(read(client, users).await) {
        assert_eq!(found, journal.holds(*user), "user {user} has not what was acknowledged");
    }
}

async fn metric(server: &ServerProcess, name: &str) -> f64 {
    let answer = send(server.ops, hyper::Method::GET, "/metrics", &[], bytes::Bytes::new()).await;
    let metrics = Metrics(answer.text().to_owned());
    metrics.find(name).unwrap_or_else(|| panic!("no metric {name}"))
}

#[tokio::test]
#[expect(clippy::print_stdout, reason = "the figure of this test")]
async fn what_was_acknowledged_of_users_on_disk_survives_sigkill() {
    let is_long = std::env::var("IA_TORTURE").is_ok_and(|form| form == "long");
    let cycles = if is_long { 150 } else { 3 };
    let login = |name: &str, of: &str| json!({"username": name, "password": ia_testkit::PASSWORD, "member_id": 958, "user_type": of});
    let segments: Vec<Value> = SEGMENTS.map(|id| json!({"id": id, "member_id": 958})).collect();
    let (_dir, data_dir) = ia_testkit::prepare_data_dir_of(
        Path::new(BINARY),
        &json!({
            "members": [{"id": 958, "name": "Provider"}],
            "users": [login("provider", "member"), login("admin", "admin")],
            "segments": segments,
        }),
    );
    let serve = || ServerProcess::serve(Path::new(BINARY), &data_dir, &SETTINGS);
    let seed = u64::from(std::process::id());
    println!("seed {seed}");
    let mut dice = Dice::new(seed);
    let journals: Vec<Arc<Mutex<Journal>>> = (0..WRITERS).map(|_| Arc::default()).collect();

    let mut server = serve().await;
    let (provider, admin) = (server.login("provider").await, server.login("admin").await);
    fill(&provider, &journals).await;
    let mut checkpoints = 0.0;
    for _ in 0..cycles {
        let at = |client: &Client| Client { address: server.api, ..client.clone() };
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| {
                let journal = Arc::clone(&journals[writer as usize]);
                tokio::spawn(write(at(&provider), at(&admin), writer, dice.split(), journal))
            })
            .collect();
        // A random moment is what this is about.
        tokio::time::sleep(Duration::from_millis(200 + dice.below(1200))).await;
        checkpoints += metric(&server, "instant_audience_checkpoint_seconds_count").await;
        server.kill().await;
        for writer in writers {
            writer.await.unwrap();
        }
        server = serve().await;
        for (writer, journal) in (0..).zip(&journals) {
            let mut known = std::mem::take(&mut *journal.lock().unwrap());
            let some = dice.distinct(250, USERS / WRITERS);
            let some: Vec<u64> = some.into_iter().map(|number| number * WRITERS + writer).collect();
            let reader = Client { address: server.api, ..provider.clone() };
            check(&reader, &mut known, &some).await;
            *journal.lock().unwrap() = known;
        }
    }
    let reader = Client { address: server.api, ..provider.clone() };
    let (mut requests, mut deletes) = (0, 0);
    for (writer, journal) in (0..).zip(&journals) {
        let mut known = std::mem::take(&mut *journal.lock().unwrap());
        let all: Vec<u64> = (0..USERS / WRITERS).map(|number| number * WRITERS + writer).collect();
        check(&reader, &mut known, &all).await;
        requests += known.requests;
        deletes += known.deletes;
    }
    let resident = metric(&server, "instant_audience_profiles_resident").await;
    println!(
        "figure: cold-kills: users={USERS} resident={resident} kills={cycles} acknowledged={requests} \
         deleted={deletes} checkpoints={checkpoints} lost=0"
    );
    assert!(resident < USERS as f64 * 0.75, "{resident} users fit in memory");
    assert!(requests > 20 && deletes > 0 && checkpoints > 0.0, "{requests} {deletes} {checkpoints}");
    server.kill().await;
}
