//! The real binary: opt-outs of users to whom ids of members are linked. Races with mappings and POSTs, members that
//! share a name space, links that have run out, and kills in between.

use bytes::Bytes;
use hyper::Method;
use ia_log::{DiskLog, Log, LogOptions, RealDisk};
use ia_model::{Clock, Link, MemberId, Minute, Record, SystemClock, UserKey};
use ia_testkit::{Answer, Client, NoAnswer, PASSWORD, ServerProcess, eventually, prepare_data_dir_of};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use tempfile::TempDir;
use tokio::task::JoinHandle;

const SETTINGS: [(&str, &str); 8] = [
    ("INSTANT_AUDIENCE__PIXELS__ENABLED", "true"),
    ("INSTANT_AUDIENCE__PIXELS__REQUESTS_PER_SECOND_PER_ADDRESS", "0"),
    ("INSTANT_AUDIENCE__PIXELS__WRITES_PER_SECOND_PER_MEMBER", "0"),
    ("INSTANT_AUDIENCE__LIMITS__USERS_PER_SECOND", "0"),
    ("INSTANT_AUDIENCE__LIMITS__POSTS_PER_SECOND", "0"),
    ("INSTANT_AUDIENCE__LIMITS__GETS_PER_SECOND", "0"),
    ("INSTANT_AUDIENCE__LIMITS__LOGINS_PER_FIVE_MINUTES", "0"),
    // Often, so that kills overlap with checkpoints.
    ("INSTANT_AUDIENCE__PROFILES__CHECKPOINT_LOG_BYTES", "1KiB"),
];

/// A data directory and its server, which can be killed and started again.
struct Site {
    _dir: TempDir,
    data_dir: PathBuf,
    server: ServerProcess,
    owner: Client,
    sharer: Client,
    other: Client,
    admin: Client,
}

/// `owner` (member 1, segments 11 and 12) has its own ids. `sharer` (member 2, segment 21) sends the same ids and may
/// write to the owner's segments. `other` (member 3, segment 31) has ids of its own. The admin sees everything.
fn catalog() -> Value {
    let login = |name: &str, member: u32, kind: &str| json!({"username": name, "password": PASSWORD, "member_id": member, "user_type": kind});
    json!({
        "members": [
            {"id": 1, "name": "Owner", "use_external_uids": true},
            {"id": 2, "name": "Sharer", "use_external_uids": true, "external_member_uid": 1, "segment_access": [1]},
            {"id": 3, "name": "Other", "use_external_uids": true},
            {"id": 4, "name": "Operator"},
        ],
        "users": [login("owner", 1, "member"), login("sharer", 2, "member"), login("other", 3, "member"),
            login("admin", 4, "admin")],
        "segments": [{"id": 11, "member_id": 1}, {"id": 12, "member_id": 1}, {"id": 21, "member_id": 2},
            {"id": 31, "member_id": 3}],
    })
}

async fn serve(data_dir: &Path) -> (ServerProcess, [Client; 4]) {
    let server =
        ServerProcess::serve(Path::new(env!("CARGO_BIN_EXE_instant-audience")), data_dir, &SETTINGS).await;
    let [owner, sharer, other] =
        [server.login("owner").await, server.login("sharer").await, server.login("other").await];
    let admin = server.login("admin").await;
    (server, [owner, sharer, other, admin])
}

impl Site {
    async fn start() -> Site {
        let (dir, data_dir) =
            prepare_data_dir_of(Path::new(env!("CARGO_BIN_EXE_instant-audience")), &catalog());
        let (server, [owner, sharer, other, admin]) = serve(&data_dir).await;
        Site { _dir: dir, data_dir, server, owner, sharer, other, admin }
    }

    /// SIGKILL, then whatever is done to the data directory, then a new start.
    async fn kill(self, between: impl FnOnce(&Path)) -> Site {
        let Site { _dir, data_dir, server, .. } = self;
        server.kill().await;
        between(&data_dir);
        let (server, [owner, sharer, other, admin]) = serve(&data_dir).await;
        Site { _dir, data_dir, server, owner, sharer, other, admin }
    }

    async fn restart(self) -> Site {
        self.kill(|_| {}).await
    }

    /// What the user is in, as the admin sees it.
    async fn seen(&self, user: &str) -> Vec<u64> {
        self.admin.segments_of(user).await
    }
}

fn pixel<'a>(
    client: &'a Client,
    member: u32,
    user: &str,
    id: &str,
) -> impl Future<Output = Result<Answer, NoAnswer>> + use<'a> {
    let (target, cookie) = (format!("/mapuid?member={member}&user={id}"), format!("uuid2={user}"));
    let client = Client { token: None, ..client.clone() };
    async move { client.try_send(Method::GET, &target, &[("cookie", &cookie)], Bytes::new()).await }
}

async fn map(client: &Client, member: u32, user: &str, id: &str) {
    assert_eq!(pixel(client, member, user, id).await.unwrap().status, 200);
}

async fn put(client: &Client, id: &str, segments: &[u64]) -> Value {
    let blocks: Vec<Value> = segments.iter().map(|id| json!({"seg_id": id})).collect();
    client.add(id, None, json!(blocks)).await["message"].clone()
}

async fn try_put(client: &Client, id: &str, segment: u64) -> Result<Answer, NoAnswer> {
    let user = json!({"user_id": id, "seg_block": [{"seg_id": segment}]});
    client.try_post("/rt-segment", &json!({"rt_segment": [user]})).await
}

async fn ask(client: &Client, user: &str, request_type: &str) -> Result<Answer, NoAnswer> {
    let body = json!({"identifier": user, "identifier_type": "uuid2", "request_type": request_type});
    client.try_post("/privacy/consumer-request", &body).await
}

async fn done(client: &Client, user: &str, request_type: &str) {
    ask(client, user, request_type).await.unwrap().ok();
}

/// An opt-out of one member reaches an id that it shares with another member, and leaves the other's segments alone.
#[tokio::test]
async fn members_that_share_ids_are_opted_out_of_one_by_one() {
    let mut site = Site::start().await;
    let user = "7000000000000000001";
    map(&site.owner, 1, user, "Cart-1").await;
    map(&site.other, 3, user, "Cart-1").await;
    put(&site.owner, "Cart-1", &[11]).await;
    put(&site.sharer, "Cart-1", &[12, 21]).await;
    put(&site.other, "Cart-1", &[31]).await;
    assert_eq!(site.seen(user).await, [11, 12, 21, 31]);

    done(&site.owner, user, "opt_out").await;
    for killed in [false, true] {
        assert_eq!(site.seen(user).await, [21, 31], "killed: {killed}");
        // The owner writes nothing about either id, and the sharer nothing to the owner's segments.
        assert_eq!(put(&site.owner, "Cart-1", &[11]).await["users_accepted"], 0);
        assert_eq!(put(&site.sharer, "Cart-1", &[12, 21]).await["segments_accepted"], 1);
        put(&site.other, "Cart-1", &[31]).await;
        map(&site.owner, 1, user, "Cart-2").await;
        put(&site.owner, "Cart-2", &[11]).await;
        assert_eq!(site.seen(user).await, [21, 31], "killed: {killed}");
        site = site.restart().await;
    }
    // The sharer is opted out of as well, although the other member made the mapping.
    done(&site.sharer, user, "opt_out").await;
    for _ in 0..2 {
        assert_eq!(site.seen(user).await, [31]);
        assert_eq!(put(&site.sharer, "Cart-1", &[21]).await["users_accepted"], 0);
        // Of a member with the same text in a name space of its own, nobody opted out.
        assert_eq!(put(&site.other, "Cart-1", &[31]).await["users_accepted"], 1);
        // Another person's id of the same members is not concerned.
        assert_eq!(put(&site.sharer, "Cart-9", &[21]).await["users_accepted"], 1);
        site = site.restart().await;
    }
    // Each opt-out ends on its own. What was deleted stays deleted.
    done(&site.owner, user, "opt_in").await;
    site = site.restart().await;
    assert_eq!(site.seen(user).await, [31]);
    assert_eq!(put(&site.sharer, "Cart-1", &[21]).await["users_accepted"], 0);
    put(&site.owner, "Cart-1", &[11]).await;
    assert_eq!(site.seen(user).await, [11, 31]);
    done(&site.sharer, user, "opt_in").await;
    put(&site.sharer, "Cart-1", &[21]).await;
    assert_eq!(site.seen(user).await, [11, 21, 31]);
    site.server.kill().await;
}

/// Puts a link of member 1 into the log, made so long ago that it ends at `end`.
fn link(data_dir: &Path, user: &str, id: &str, end: Minute) {
    const DAYS_18: u64 = 18 * 24 * 3_600_000;
    let link = Link {
        accepted_at_ms: end.unix_ms() - DAYS_18,
        member: MemberId(1),
        user: UserKey::platform(user.parse().unwrap()).unwrap(),
        links: vec![(UserKey::external(MemberId(1), id).unwrap(), end)],
    };
    let (log, _) =
        DiskLog::open(data_dir.join("log"), LogOptions::default(), Arc::new(RealDisk), Arc::new(())).unwrap();
    let (durable, is_durable) = mpsc::channel();
    let encoded = Record::Link(link).encode();
    log.append(encoded, Box::new(move |written| durable.send(written).unwrap())).unwrap();
    is_durable.recv().unwrap().unwrap();
    log.close();
}

/// An id whose link has run out is an id of nobody that is known: an opt-out does not reach it. A link that still holds
/// is opted out, and stays so when it runs out later.
#[tokio::test]
async fn a_link_that_has_run_out_leads_to_nobody() {
    let mut site = Site::start().await;
    let now = Minute::containing(SystemClock.now_ms());
    let (ended, holding) = ("7000000000000000002", "7000000000000000003");
    put(&site.owner, "Ended", &[11]).await;
    put(&site.owner, "Holding", &[11]).await;
    site = site
        .kill(|data_dir| {
            link(data_dir, ended, "Ended", Minute(now.0 - 1));
            link(data_dir, holding, "Holding", Minute(now.0 + 600));
        })
        .await;
    assert_eq!((site.seen(ended).await, site.seen(holding).await), (vec![], vec![11]));
    for user in [ended, holding] {
        done(&site.owner, user, "opt_out").await;
    }
    for killed in [false, true] {
        let accepted = put(&site.owner, "Ended", &[12]).await;
        assert_eq!(accepted["users_accepted"], 1, "killed: {killed}");
        let accepted = put(&site.owner, "Holding", &[12]).await;
        assert_eq!(accepted["users_accepted"], 0, "killed: {killed}");
        assert_eq!((site.seen(ended).await, site.seen(holding).await), (vec![], vec![]), "killed: {killed}");
        site = site.restart().await;
    }
    // The link is not made again while the opt-out holds; afterwards it is, and joins what was sent meanwhile.
    map(&site.owner, 1, ended, "Ended").await;
    assert_eq!(site.seen(ended).await, [0; 0]);
    done(&site.owner, ended, "opt_in").await;
    assert_eq!(site.seen(ended).await, [0; 0]);
    map(&site.owner, 1, ended, "Ended").await;
    site = site.restart().await;
    assert_eq!(site.seen(ended).await, [11, 12]);
    site.server.kill().await;
}

/// The traffic about one user: the owner writes under new ids and links them.
#[derive(Clone)]
struct Traffic {
    user: String,
    /// Whether the opt-out is by an admin, of everything; otherwise by the owner, of its segments.
    of_platform: bool,
    stop: Arc<AtomicBool>,
    turns: Arc<AtomicU64>,
}

impl Traffic {
    fn about(user: u64) -> Traffic {
        let id = (7_100_000_000_000_000_000 + user).to_string();
        Traffic { user: id, of_platform: user.is_multiple_of(3), stop: Arc::default(), turns: Arc::default() }
    }

    /// The client whose opt-out it is.
    fn opts_out_by<'s>(&self, site: &'s Site) -> &'s Client {
        if self.of_platform { &site.admin } else { &site.owner }
    }

    /// One of the ids that the owner has for the user.
    fn id(&self, number: u64) -> String {
        format!("{}-{number}", self.user)
    }

    /// Several clients at once, until they are told to stop or the server is gone.
    fn start(&self, owner: &Client) -> Vec<JoinHandle<()>> {
        let clients = (1..=CLIENTS).map(|client| (client * 1_000_000, self.clone(), owner.clone()));
        clients.map(|(first, traffic, owner)| tokio::spawn(traffic.run(owner, first))).collect()
    }

    async fn run(self, owner: Client, first: u64) {
        for turn in 0u64.. {
            let id = self.id(first + turn);
            let sent = async {
                let answers = [
                    try_put(&owner, &id, 11).await?,
                    pixel(&owner, 1, &self.user, &id).await?,
                    try_put(&owner, &id, 12).await?,
                ];
                assert!(answers.iter().all(|answer| answer.status == 200), "{answers:?}");
                Ok::<_, NoAnswer>(())
            };
            if sent.await.is_err() || self.stop.load(Ordering::SeqCst) {
                return;
            }
            self.turns.fetch_add(1, Ordering::SeqCst);
        }
    }

    async fn has_run(&self, turns: u64) {
        let target = self.turns.load(Ordering::SeqCst) + turns;
        eventually("traffic", async || (self.turns.load(Ordering::SeqCst) >= target).then_some(())).await;
    }
}

/// Clients that send about one user at once.
const CLIENTS: u64 = 8;

/// Opt-outs while mappings and POSTs about the same users go on, and while the server is killed: after the answer no
/// read shows the user in the member's segments, under whatever id they were sent and whenever it was linked.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_mapping_and_no_post_gets_past_an_opt_out() {
    let mut site = Site::start().await;
    let mut out: Vec<Traffic> = Vec::new();
    for cycle in 0..2u64 {
        for at in 0..5 {
            let traffic = Traffic::about(cycle * 10 + at);
            let clients = traffic.start(&site.owner);
            traffic.has_run(CLIENTS).await;
            assert_ne!(site.seen(&traffic.user).await, [0; 0], "the traffic has an effect");
            if at < 4 {
                done(traffic.opts_out_by(&site), &traffic.user, "opt_out").await;
                for _ in 0..2 {
                    assert_eq!(site.seen(&traffic.user).await, [0; 0], "user {at} of cycle {cycle}");
                    traffic.has_run(CLIENTS).await;
                }
                assert_eq!(site.seen(&traffic.user).await, [0; 0], "user {at} of cycle {cycle}");
                traffic.stop.store(true, Ordering::SeqCst);
            } else {
                // The server is killed while the last opt-out is under way, or soon after it.
                let (who, user) = (traffic.opts_out_by(&site).clone(), traffic.user.clone());
                let in_doubt = tokio::spawn(async move { ask(&who, &user, "opt_out").await });
                traffic.has_run(cycle).await;
                site = site.restart().await;
                let _ = in_doubt.await.unwrap();
                // A client without an answer sends the request again.
                done(traffic.opts_out_by(&site), &traffic.user, "opt_out").await;
            }
            for client in clients {
                client.await.unwrap();
            }
            out.push(traffic);
        }
        for traffic in &out {
            assert_eq!(site.seen(&traffic.user).await, [0; 0], "cycle {cycle}, after the kill");
            map(&site.owner, 1, &traffic.user, &traffic.id(0)).await;
            put(&site.owner, &traffic.id(0), &[11]).await;
            assert_eq!(site.seen(&traffic.user).await, [0; 0], "cycle {cycle}, written again");
        }
    }
    // The opt-outs end. A read left out what the user had opted out of; now it shows whether there was anything.
    for traffic in &out {
        let Traffic { user, of_platform, .. } = traffic;
        done(traffic.opts_out_by(&site), user, "opt_in").await;
        assert_eq!(site.seen(user).await, [0; 0], "{user}, of the platform: {of_platform}");
        map(&site.owner, 1, &traffic.user, &traffic.id(0)).await;
        put(&site.owner, &traffic.id(0), &[11]).await;
    }
    site = site.restart().await;
    for traffic in &out {
        assert_eq!(site.seen(&traffic.user).await, [11], "ids can be linked again");
    }
    site.server.kill().await;
}

/// A page's pixels and a person's opt-out on the page of the same server.
#[tokio::test]
async fn an_opt_out_on_the_page_takes_the_mappings_along() {
    let mut site = Site::start().await;
    let user = "7000000000000000004";
    map(&site.owner, 1, user, "Cart-4").await;
    put(&site.owner, "Cart-4", &[11]).await;
    assert_eq!(site.seen(user).await, [11]);
    let browser = Client { token: None, ..site.owner.clone() };
    let token = "0123456789abcdef".repeat(2);
    let cookies = format!("uuid2={user}; ia_optout={token}");
    let form = format!("token={token}&choice=out");
    let answer = browser.send(Method::POST, "/optout", &[("cookie", &cookies)], Bytes::from(form)).await;
    assert_eq!(answer.status, 200);
    for killed in [false, true] {
        assert_eq!(site.seen(user).await, [0; 0], "killed: {killed}");
        // A browser that kept its cookie, and a member that goes on.
        map(&site.owner, 1, user, "Cart-4").await;
        put(&site.owner, "Cart-4", &[11]).await;
        assert_eq!(site.seen(user).await, [0; 0], "killed: {killed}");
        site = site.restart().await;
    }
    site.server.kill().await;
}
