//! The client, which is a process of its own: what it has noted outlives whatever happens to the server.

use crate::audit::holdings;
use crate::journal::{End, Entry, JournalWriter, now_ms};
use crate::operation::{Delete, Effect, Operation, Post, Shape, is_shared};
use crate::oracle::Holdings;
use anyhow::Context;
use clap::Args;
use ia_testkit::Dice;
use ia_testkit::{Answer, Connection, request};
use serde_json::Value;
use std::io::Read;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

/// The variables that hold the tokens, of the member and of the admin: arguments can be read by all users of a
/// machine.
pub(crate) const TOKEN_VARIABLE: &str = "IA_TORTURE_TOKEN";
pub(crate) const ADMIN_TOKEN_VARIABLE: &str = "IA_TORTURE_ADMIN_TOKEN";

/// A request that is not answered by then is noted as broken.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(50);

/// How long a refused writer waits.
const AFTER_REFUSAL: Duration = Duration::from_millis(20);

/// How often, of a hundred operations, what was acknowledged is read back at once.
const READ_BACK_PERCENT: u64 = 10;

/// How often, of a hundred operations, the next one goes over a new connection.
const NEW_CONNECTION_PERCENT: u64 = 5;

/// How many of a hundred connections begin with a request that is not plain, so that the server serves them in its
/// general way to their end.
const GENERAL_PERCENT: u64 = 25;

/// How many of a hundred requests are sent in two parts, and how long the second may be late.
const IN_PARTS_PERCENT: u64 = 15;
const PART_LATE_MS: u64 = 20;

/// What a client does. It ends when all operations are sent, when its standard input ends, or when the server does.
#[derive(Debug, Clone, Args)]
pub(crate) struct ClientArgs {
    /// Where the API is
    #[arg(long)]
    pub api: SocketAddr,
    /// The journal, which is appended to
    #[arg(long)]
    pub journal: PathBuf,
    /// Writers at once
    #[arg(long)]
    pub writers: u16,
    /// End after this many operations; 0 is without end
    #[arg(long)]
    pub posts: u32,
    /// The number of the first operation
    #[arg(long)]
    pub first_post: u32,
    /// The most users of a POST
    #[arg(long)]
    pub users_per_post: u64,
    /// Users of a writer
    #[arg(long)]
    pub users_per_writer: u64,
    /// One of this many operations is a delete; 0 is none
    #[arg(long)]
    pub delete_every: u32,
    /// A writer's pause after each operation
    #[arg(long)]
    pub pause_ms: u64,
    /// Decides what is sent
    #[arg(long)]
    pub seed: u64,
}

impl ClientArgs {
    /// How large POSTs are.
    pub(crate) fn shape(&self) -> Shape {
        Shape {
            users_per_post: self.users_per_post,
            users_per_writer: self.users_per_writer,
            delete_every: self.delete_every,
        }
    }

    /// As they are given on a command line.
    pub(crate) fn to_words(&self) -> Vec<String> {
        let ClientArgs {
            api,
            journal,
            writers,
            posts,
            first_post,
            users_per_post,
            users_per_writer,
            delete_every,
            pause_ms,
            seed,
        } = self;
        [
            ("--api", api.to_string()),
            ("--journal", journal.display().to_string()),
            ("--writers", writers.to_string()),
            ("--posts", posts.to_string()),
            ("--first-post", first_post.to_string()),
            ("--users-per-post", users_per_post.to_string()),
            ("--users-per-writer", users_per_writer.to_string()),
            ("--delete-every", delete_every.to_string()),
            ("--pause-ms", pause_ms.to_string()),
            ("--seed", seed.to_string()),
        ]
        .into_iter()
        .flat_map(|(name, value)| [name.to_owned(), value])
        .collect()
    }

    /// Writes until the end.
    pub(crate) async fn run(&self) -> anyhow::Result<()> {
        let token = |name| std::env::var(name).with_context(|| format!("{name} is not set"));
        let mut dice = Dice::new(self.seed);
        let shared = Arc::new(Shared {
            args: self.clone(),
            token: token(TOKEN_VARIABLE)?,
            admin_token: token(ADMIN_TOKEN_VARIABLE)?,
            journal: JournalWriter::open(&self.journal)?,
            next: AtomicU32::new(self.first_post),
            stop: AtomicBool::new(false),
        });
        let stopping = Arc::clone(&shared);
        std::thread::spawn(move || {
            // However it ends, no more is wanted.
            let _ = std::io::stdin().read_to_end(&mut Vec::new());
            stopping.stop.store(true, Ordering::Relaxed);
        });
        let writers: Vec<_> = (0..self.writers)
            .map(|number| {
                let writer =
                    Writer { shared: Arc::clone(&shared), number, dice: dice.split(), connection: None };
                tokio::spawn(writer.run())
            })
            .collect();
        for writer in writers {
            writer.await.context("a writer panicked")?;
        }
        Ok(())
    }
}

struct Shared {
    args: ClientArgs,
    token: String,
    admin_token: String,
    journal: JournalWriter,
    next: AtomicU32,
    stop: AtomicBool,
}

impl Shared {
    /// The number of the next operation, if there is to be one.
    fn next(&self) -> Option<u32> {
        let ClientArgs { posts, first_post, .. } = self.args;
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let is_over = self.stop.load(Ordering::Relaxed) || (posts > 0 && id - first_post >= posts);
        (!is_over).then_some(id)
    }
}

struct Writer {
    shared: Arc<Shared>,
    number: u16,
    dice: Dice,
    connection: Option<Kept>,
}

/// A connection, and whether it is one for the general way of serving.
struct Kept {
    connection: Connection,
    is_general: bool,
}

/// What is asked, and in whose name.
#[derive(Clone, Copy)]
struct Request<'a> {
    token: &'a str,
    method: &'a str,
    path: &'a str,
    body: Option<&'a [u8]>,
}

impl Writer {
    async fn run(mut self) {
        let shared = Arc::clone(&self.shared);
        let mut acknowledged: Option<Operation> = None;
        while let Some(id) = shared.next() {
            let operation = Operation::draw(&mut self.dice, id, self.number, shared.args.shape());
            let (path, body) = (operation.path(), operation.body());
            let token = match &operation {
                Operation::Delete(Delete { by_admin: true, .. }) => &shared.admin_token,
                _ => &shared.token,
            };
            let Some(connection) = self.connect().await else { return };
            let request = Request { token, method: "POST", path, body: Some(&body) };
            shared.journal.note(&Entry::Sent { operation: operation.clone(), at_ms: now_ms() });
            let answer = self.exchange(connection, request).await;
            let end = answer.map_or_else(|broken| broken, |answer| end(&answer, &operation));
            shared.journal.note(&Entry::Ended { id, end: end.clone() });
            match end {
                End::Acknowledged => acknowledged = Some(operation),
                End::Refused { .. } => tokio::time::sleep(AFTER_REFUSAL).await,
                // Nobody knows any more what comes before what.
                End::Broken { .. } | End::Nonsense(_) => return,
            }
            if let Some(operation) = acknowledged.as_ref().filter(|_| self.dice.in_percent(READ_BACK_PERCENT))
            {
                self.read_back(operation).await;
            }
            if self.dice.in_percent(NEW_CONNECTION_PERCENT) {
                self.connection = None;
            }
            if shared.args.pause_ms > 0 {
                tokio::time::sleep(Duration::from_millis(shared.args.pause_ms)).await;
            }
        }
    }

    /// The connection, or a new one; `None` when the server no longer listens.
    async fn connect(&mut self) -> Option<Kept> {
        match self.connection.take() {
            Some(kept) => Some(kept),
            None => {
                let is_general = self.dice.in_percent(GENERAL_PERCENT);
                let connection = Connection::open(self.shared.args.api).await.ok()?;
                Some(Kept { connection, is_general })
            }
        }
    }

    /// Sends a request, whole or in two parts, and keeps the connection if the server does.
    async fn exchange(&mut self, mut kept: Kept, asked: Request<'_>) -> Result<Answer, End> {
        let Request { token, method, path, body } = asked;
        let token = ("authorization", token);
        let headers = [token, ("te", "trailers")];
        let headers = if kept.is_general { &headers[..] } else { &headers[..1] };
        let request = request(method, path, self.shared.args.api, headers, body);
        let first_part = if self.dice.in_percent(IN_PARTS_PERCENT) {
            1 + self.dice.below(request.len() as u64 - 1) as usize
        } else {
            request.len()
        };
        let pause = Duration::from_millis(self.dice.below(PART_LATE_MS));
        let (first, second) = request.split_at(first_part);
        let parts = [first, second];
        let parts = if second.is_empty() { &parts[..1] } else { &parts[..] };
        let exchange = kept.connection.exchange_in_parts(parts, pause);
        match tokio::time::timeout(ANSWER_TIMEOUT, exchange).await {
            Ok(Ok(answer)) => {
                let closes =
                    answer.header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"));
                self.connection = (!closes).then_some(kept);
                Ok(answer)
            }
            Ok(Err(broken)) => {
                Err(End::Broken { received_bytes: broken.received_bytes, error: broken.error.to_string() })
            }
            Err(_) => Err(End::Broken { received_bytes: 0, error: "no answer in time".to_owned() }),
        }
    }

    /// Reads a user of the writer's own: it has to hold what was acknowledged last, since nobody else writes to it.
    async fn read_back(&mut self, operation: &Operation) {
        let effects = operation.effects();
        let Some(effect) = effects.into_iter().find(|effect| !is_shared(effect.user())) else { return };
        let Some(connection) = self.connect().await else { return };
        let (shared, path) = (Arc::clone(&self.shared), format!("/user-segment?user_id={}", effect.user()));
        let request = Request { token: &shared.token, method: "GET", path: &path, body: None };
        // Where the server is gone, the next operation notes it.
        let Ok(answer) = self.exchange(connection, request).await else { return };
        let fault = match answer.status.as_u16() {
            200 => match holdings(&answer.response()["user_segment"]) {
                Ok(found) => difference(effect, &found)
                    .map(|what| format!("after {}, user {} {what}", operation.id(), effect.user())),
                Err(error) => Some(format!("{error:#}")),
            },
            status => Some(format!("a read was answered with {status}")),
        };
        self.shared.journal.note(&Entry::Read { fault });
    }
}

/// What a user holds that it should not after this, or the other way round.
fn difference(effect: Effect<'_>, found: &Holdings) -> Option<String> {
    match effect {
        Effect::Change(part) => part.changes.iter().find_map(|change| {
            let found = found.get(&change.segment).copied();
            (found != change.held).then(|| format!("is read with {found:?} in place of {change:?}"))
        }),
        Effect::Forget(_) => (!found.is_empty()).then(|| format!("is read with {found:?} and was deleted")),
    }
}

/// What an answer means.
fn end(answer: &Answer, operation: &Operation) -> End {
    let status = answer.status.as_u16();
    if status != 200 {
        return End::Refused { status, says_retry_after: answer.header("retry-after").is_some() };
    }
    let response = answer.response();
    let is_as_asked = match operation {
        Operation::Post(post) => has_counts_of(&response, post),
        Operation::Delete(delete) => response["consumer_request"] == delete.asked(),
    };
    if response["status"] == "OK" && is_as_asked {
        End::Acknowledged
    } else {
        End::Nonsense(response.to_string())
    }
}

fn has_counts_of(response: &Value, post: &Post) -> bool {
    let message = &response["message"];
    let counts = (message["users_in_request"].as_u64(), message["segments_in_request"].as_u64());
    counts == (Some(post.users.len() as u64), Some(post.blocks()))
}
