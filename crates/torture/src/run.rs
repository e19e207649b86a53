//! A run: one installation, one journal, one oracle, many starts.

use crate::audit;
use crate::client::{ADMIN_TOKEN_VARIABLE, ClientArgs, TOKEN_VARIABLE};
use crate::figure::progress;
use crate::findings::Findings;
use crate::journal::{End, JournalReader, JournalWriter, Session};
use crate::operation::{ADMIN, Delete, Operation, PROVIDER, Shape, own_user, users};
use crate::opt_outs::Asking;
use crate::oracle::{Break, Oracle, Refusal, Rules, Seen};
use crate::requests::{ask, install, log_in};
use crate::testbed::Testbed;
use crate::traces::{Forgotten, traces};
use anyhow::{Context, bail};
use ia_testkit::{Installation, ServerProcess};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tokio::process::{Child, Command};

/// A client that has to end writes its journal until then; without a line for so long it never will: each request has
/// a timeout of its own.
const CLIENT_PATIENCE: Duration = Duration::from_secs(70);

/// How many people are deleted at the end of a run, of the first writer's own.
const DELETED_AT_THE_END: u64 = 20;

/// The load that a client makes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Load {
    /// Writers at once; never more than [`Run`] was made for.
    pub writers: u16,
    /// Ends after this many operations; 0 is without end.
    pub posts: u32,
    /// A writer's pause after each operation.
    pub pause_ms: u64,
    /// How large POSTs are.
    pub shape: Shape,
}

/// All that a test carries from one start of the server to the next.
#[derive(Debug)]
pub(crate) struct Run {
    /// The server, installed.
    pub installation: Installation,
    /// All that was found so far.
    pub findings: Findings,
    journal: JournalReader,
    oracle: Oracle,
    forgotten: Forgotten,
    /// Of the first start, and for all others: tokens survive.
    tokens: Option<Tokens>,
    load: Load,
    next_operation: u32,
}

#[derive(Debug, Clone)]
struct Tokens {
    provider: String,
    admin: String,
}

impl Run {
    /// Installs the server with its data in `data_dir`.
    pub(crate) fn create(testbed: &Testbed, data_dir: &Path, load: Load) -> anyhow::Result<Run> {
        let scratch = testbed.journal.path();
        let installation = install(&testbed.binary, data_dir, scratch)?;
        let name = format!("journal-{}", data_dir.file_name().unwrap_or_default().display());
        let path = scratch.join(name);
        JournalWriter::open(&path)?;
        Ok(Run {
            installation,
            findings: Findings::default(),
            journal: JournalReader::new(path),
            oracle: Oracle::default(),
            forgotten: Forgotten::default(),
            tokens: None,
            load,
            next_operation: 1,
        })
    }

    /// Starts a server that has to get ready, and sees to tokens.
    pub(crate) async fn start(&mut self) -> anyhow::Result<ServerProcess> {
        let server = self.installation.start().await?;
        self.token(&server).await?;
        Ok(server)
    }

    /// The token of the member, which the first server gave.
    pub(crate) async fn token(&mut self, server: &ServerProcess) -> anyhow::Result<String> {
        Ok(self.tokens(server).await?.provider)
    }

    /// The tokens of both who ask for people.
    pub(crate) async fn asking(&mut self, server: &ServerProcess) -> anyhow::Result<Asking> {
        let Tokens { provider, admin } = self.tokens(server).await?;
        Ok(Asking { member: provider, admin })
    }

    async fn tokens(&mut self, server: &ServerProcess) -> anyhow::Result<Tokens> {
        if let Some(tokens) = &self.tokens {
            return Ok(tokens.clone());
        }
        let tokens =
            Tokens { provider: log_in(server, PROVIDER).await?, admin: log_in(server, ADMIN).await? };
        Ok(self.tokens.insert(tokens).clone())
    }

    /// Starts a client that makes this run's load, or as much of it.
    pub(crate) async fn load(
        &mut self,
        server: &ServerProcess,
        testbed: &mut Testbed,
    ) -> anyhow::Result<Client> {
        self.load_with(server, testbed, self.load).await
    }

    /// [`Run::load`] with another load, of no more writers and users.
    pub(crate) async fn load_with(
        &mut self,
        server: &ServerProcess,
        testbed: &mut Testbed,
        load: Load,
    ) -> anyhow::Result<Client> {
        let Load { writers, posts, pause_ms, shape } = load;
        let args = ClientArgs {
            api: server.api,
            journal: self.journal.path().to_owned(),
            writers,
            posts,
            first_post: self.next_operation,
            users_per_post: shape.users_per_post,
            users_per_writer: shape.users_per_writer,
            delete_every: shape.delete_every,
            pause_ms,
            seed: testbed.dice.next(),
        };
        let tokens = self.tokens(server).await?;
        let child = Command::new(std::env::current_exe().context("cannot tell where this program is")?)
            .arg("client")
            .args(args.to_words())
            .env(TOKEN_VARIABLE, tokens.provider)
            .env(ADMIN_TOKEN_VARIABLE, tokens.admin)
            .stdin(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .context("cannot start the client")?;
        Ok(Client { child, journal: self.journal.path().to_owned() })
    }

    /// Holds a server to the journal. Clients have to have ended.
    pub(crate) async fn audit(&mut self, server: &ServerProcess, rules: Rules) -> anyhow::Result<Findings> {
        let session = self.journal.next_session()?;
        self.note_operations(&session);
        let seen = self.look(server).await?;
        self.forgotten.note(&session);
        let findings = self.oracle.settle(&session, rules, &seen);
        self.findings.add(findings.clone());
        Ok(findings)
    }

    /// How many POSTs since the last audit have ended in such a way. A client may be at work.
    pub(crate) fn count_ends(&self, is_such: impl Fn(&End) -> bool) -> anyhow::Result<usize> {
        let session = self.journal.peek_session()?;
        let ends = session.cases.iter().filter_map(|case| case.ended.as_ref());
        Ok(ends.filter(|(_, end)| is_such(end)).count())
    }

    /// Waits until so many operations since the last audit have ended in such a way, for as long as a client gets
    /// any answers.
    pub(crate) async fn until_ended(
        &self,
        what: &str,
        count: usize,
        is_such: impl Fn(&End) -> bool,
    ) -> anyhow::Result<()> {
        until_still(what, CLIENT_PATIENCE, async || {
            let ended = self.count_ends(&is_such)?;
            Ok(if ended >= count {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(format!(
                    "{ended} of {count}, of {} answered",
                    self.count_ends(|_| true)?
                ))
            })
        })
        .await
    }

    /// Holds a running server to the journal, which goes on after it. Clients have to have ended.
    ///
    /// Nothing that was refused may be seen, whatever a restart may bring back.
    pub(crate) async fn audit_meanwhile(&mut self, server: &ServerProcess) -> anyhow::Result<Findings> {
        let rules = Rules { refusal: Refusal::LeavesNothing, on_break: Break::IsOpen };
        let session = self.journal.peek_session()?;
        self.note_operations(&session);
        let seen = self.look(server).await?;
        let found = self.oracle.clone().settle(&session, rules, &seen);
        // Its operations are counted when they are settled.
        let faults = Findings {
            acknowledged: 0,
            deleted: 0,
            refused: 0,
            unknown: 0,
            unknown_present: 0,
            reads: 0,
            ..found.clone()
        };
        self.findings.add(faults);
        Ok(found)
    }

    /// Deletes some more people, stops the server in order, and looks for all who are forgotten in its files.
    ///
    /// A stop ends with a checkpoint, after which nothing of them may be left.
    pub(crate) async fn end(&mut self, server: ServerProcess) -> anyhow::Result<()> {
        if !self.findings.is_sound() {
            self.installation.stop(server).await?;
            return Ok(());
        }
        let last: Vec<u64> = (0..DELETED_AT_THE_END).map(|number| own_user(0, number)).collect();
        if traces(self.installation.data_dir(), &last)?.is_empty() {
            bail!(
                "no file has a trace of those who are to be forgotten: that nothing is left proves nothing"
            );
        }
        let Tokens { admin, .. } = self.tokens(&server).await?;
        for user in last {
            let delete = Delete { id: self.next_operation, writer: 0, user, by_admin: true };
            let operation = Operation::Delete(delete);
            let (path, body) = (operation.path(), operation.body());
            let answer = ask(server.api, "POST", path, Some(&admin), Some(&body)).await?;
            if answer.status != 200 {
                bail!("a delete was answered with {answer:?}");
            }
            self.forgotten.add(user);
        }
        self.installation.stop(server).await?;
        let users = self.forgotten.users();
        let found = traces(self.installation.data_dir(), &users)?;
        self.findings.forgotten += users.len() as u64;
        self.findings.remains += found.len() as u64;
        for (user, place) in found {
            let fault = format!("user {user} was forgotten and is in {place}");
            progress(&fault);
            self.findings.tell(|| fault);
        }
        Ok(())
    }

    fn note_operations(&mut self, session: &Session) {
        let last = session.cases.iter().map(|case| case.operation.id()).max();
        self.next_operation = self.next_operation.max(last.map_or(0, |last| last + 1));
    }

    async fn look(&mut self, server: &ServerProcess) -> anyhow::Result<Seen> {
        let users: Vec<u64> = users(self.load.writers, self.load.shape).collect();
        let token = self.token(server).await?;
        audit::look(server, &token, &users).await.context("the audit cannot read")
    }
}

/// A client at work.
#[derive(Debug)]
pub(crate) struct Client {
    child: Child,
    journal: PathBuf,
}

impl Client {
    /// Lets it finish what it has sent, and waits for its end.
    pub(crate) async fn stop(mut self) -> anyhow::Result<()> {
        drop(self.child.stdin.take());
        self.end().await
    }

    /// Waits until it has nothing more to send, or the server is gone.
    pub(crate) async fn end(mut self) -> anyhow::Result<()> {
        // Held open: its end would tell the client to stop.
        let stdin = self.child.stdin.take();
        let status = until_still("the client to end", CLIENT_PATIENCE, async || {
            if let Some(status) = self.child.try_wait().context("cannot wait for the client")? {
                return Ok(ControlFlow::Break(status));
            }
            let noted = std::fs::metadata(&self.journal).context("cannot look at the journal")?.len();
            Ok(ControlFlow::Continue(format!("{noted} bytes in its journal")))
        })
        .await?;
        drop(stdin);
        if !status.success() {
            bail!("the client ended with {status}");
        }
        Ok(())
    }
}

/// [`ia_testkit::until`], for conditions that fail with any error.
pub(crate) async fn until<T>(
    what: &str,
    patience: Duration,
    condition: impl AsyncFnMut() -> anyhow::Result<Option<T>>,
) -> anyhow::Result<T> {
    ia_testkit::until(what, patience, condition).await
}

/// [`ia_testkit::until_still`], for looks that fail with any error.
pub(crate) async fn until_still<T>(
    what: &str,
    patience: Duration,
    look: impl AsyncFnMut() -> anyhow::Result<ControlFlow<T, String>>,
) -> anyhow::Result<T> {
    ia_testkit::until_still(what, patience, look).await
}
