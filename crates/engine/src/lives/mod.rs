//! Runs random sequences of steps ("lives") on the product's engines and compares them with a simple map. After every
//! crash, a request that was answered OK is there, any other is there whole or not at all, and each accepted request
//! is counted once.
//!
//! The log is on a simulated disk that loses power. The profiles and the statistics are in a folder that keeps all
//! writes through a crash. Everything between a request's body and a read's JSON is product code.
//!
//! The steps have no preconditions and do not use `proptest-state-machine`: the model cannot know in advance how a
//! crash ends, so its state does not follow from the steps alone.

mod engines;
mod expected;
mod steps;

use crate::upkeep;
use engines::{Engines, Testbed};
use expected::Expected;
use proptest::collection::vec;
use proptest::test_runner::{Config, TestRunner};
use std::cell::RefCell;
use steps::{Step, any_step, any_testbed};
use tempfile::TempDir;

/// Counts over all sequences.
#[derive(Debug, Default)]
struct Done {
    sequences: usize,
    steps: usize,
    posts: usize,
    unknown: usize,
    crashes: usize,
    checkpoints: usize,
    stops: usize,
}

/// One sequence: the engines, and the state that they must have.
struct Life<'d> {
    testbed: Testbed,
    engines: Option<Engines>,
    expected: Expected,
    done: &'d RefCell<Done>,
}

impl Life<'_> {
    async fn take(&mut self, step: Step) {
        self.done.borrow_mut().steps += 1;
        match step {
            Step::Post(post) => return self.burst(&[post], None).await,
            Step::Burst(posts) => return self.burst(&posts, None).await,
            Step::BurstAndCrash { posts, calls, how } => {
                self.burst(&posts, Some(calls)).await;
                self.crash(how).await;
            }
            Step::Erase(user, segments) => {
                let erase = self.expected.erase(&user, segments.as_deref(), self.testbed.now_ms);
                self.engines().commit_erase(erase).await;
            }
            Step::Link(user, ids, minutes) => {
                self.expected.link(&user, &ids, minutes, self.testbed.now_ms);
                let ids: Vec<_> = ids.iter().map(|id| id.key()).collect();
                self.engines().link(self.testbed.now_ms, user.key(), &ids, minutes).await;
            }
            Step::Later(ms) => self.testbed.now_ms += ms,
            Step::Earlier(ms) => self.testbed.now_ms -= ms,
            Step::ForgetAndCrash { user, checkpoint_first, stop, how } => {
                self.forget_and_crash(user, checkpoint_first, stop, how).await;
            }
            Step::Checkpoint => self.checkpoint().await,
            Step::WriteStatistics => self.engines().usage.flush().await.unwrap(),
            Step::WarmUp => self.engines().warm_up(),
            Step::Load(user) => self.engines().load(&user.key(), self.testbed.now_ms),
            Step::Crash(how) => self.crash(how).await,
            Step::Restart => {
                self.engines.take().unwrap().close().await;
                self.start().await;
            }
        }
        self.compare_reads(steps::all_users());
    }

    async fn checkpoint(&self) {
        self.done.borrow_mut().checkpoints += 1;
        self.engines().checkpoint_until(upkeep::Step::Trimmed).await;
    }

    /// After the crash the user stays erased; after the next whole checkpoint nothing of it is in any file.
    async fn forget_and_crash(
        &mut self,
        user: steps::User,
        checkpoint_first: bool,
        stop: steps::Stop,
        how: steps::Crash,
    ) {
        self.burst(&[steps::post_of(user)], None).await;
        if checkpoint_first {
            self.checkpoint().await;
        }
        assert!(self.testbed.has_traces(user), "or it proves nothing that there are none later");
        let erase = self.expected.erase(&user, None, self.testbed.now_ms);
        self.engines().commit_erase(erase).await;
        self.done.borrow_mut().stops += 1;
        let profiles = self.engines().checkpoint_to(&self.testbed, stop).await;
        self.crash_with(how, profiles).await;
        self.compare_reads([user].into_iter());
        self.checkpoint().await;
        self.compare_reads([user].into_iter());
        assert!(!self.testbed.has_traces(user), "a trace of {user:?} is left");
    }

    fn engines(&self) -> &Engines {
        self.engines.as_ref().expect("the engines run")
    }

    /// Sends requests at the same time. If the power fails after some disk calls, requests that are not answered OK
    /// may be there after the crash.
    async fn burst(&mut self, posts: &[steps::Post], power_goes_after: Option<u64>) {
        self.done.borrow_mut().posts += posts.len();
        let requests = posts.iter().map(|post| (post.member, post.text())).collect::<Vec<_>>();
        let results = self.engines().post_at_once(&self.testbed, &requests, power_goes_after).await;
        for (post, accepted) in posts.iter().zip(results) {
            match accepted {
                Ok(is_logged) => {
                    assert!(!self.expected.has_unknown() || !is_logged, "an OK after a failure of the disk");
                    self.expected.accept(post, self.testbed.now_ms);
                }
                Err(error) => {
                    assert!(power_goes_after.is_some(), "refused: {error}");
                    self.expected.fail(post, self.testbed.now_ms);
                    self.done.borrow_mut().unknown += 1;
                }
            }
        }
        // The other users are compared after steps that may change them.
        let touched = posts.iter().flat_map(steps::Post::well_formed_users);
        self.compare_reads(touched.chain(steps::platform_users()));
    }

    async fn crash(&mut self, how: steps::Crash) {
        self.crash_with(how, None).await;
    }

    /// A crash that leaves the profiles as they are in another folder.
    async fn crash_with(&mut self, how: steps::Crash, profiles: Option<TempDir>) {
        self.done.borrow_mut().crashes += 1;
        let engines = self.engines.take().expect("the engines run");
        engines.die(&self.testbed.disk);
        self.testbed.lose(how);
        if let Some(profiles) = profiles {
            self.testbed.put_profiles(profiles);
        }
        self.start().await;
    }

    /// Starts on the files that survived. The log's length tells how many uncertain requests survived, in order.
    async fn start(&mut self) {
        let engines = Engines::open(&self.testbed).await;
        self.expected.settle(engines.last_position());
        self.engines = Some(engines);
        self.compare_statistics().await;
    }

    fn compare_reads(&self, users: impl Iterator<Item = steps::User>) {
        for user in users {
            let now_ms = self.testbed.now_ms;
            let read = self.engines().read(&user.key(), now_ms);
            assert_eq!(read, self.expected.read(&user, now_ms), "the read of {user:?}");
        }
    }

    async fn compare_statistics(&self) {
        for member in steps::MEMBERS {
            let hours = self.engines().hours(member).await;
            assert_eq!(hours, self.expected.hours(member), "the statistics of member {member}");
        }
    }
}

fn run(done: &RefCell<Done>, testbed: Testbed, steps: Vec<Step>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let engines = Some(Engines::open(&testbed).await);
        let mut life = Life { testbed, engines, expected: Expected::default(), done };
        for step in steps {
            life.take(step).await;
        }
        life.compare_reads(steps::all_users());
        life.compare_statistics().await;
        life.engines.take().unwrap().close().await;
    });
    done.borrow_mut().sequences += 1;
}

#[test]
#[expect(clippy::print_stdout, reason = "the figure of this test")]
fn engines_agree_with_a_simple_map() {
    let is_long = std::env::var("IA_TORTURE").is_ok_and(|form| form == "long");
    let cases = if is_long { 10_000 } else { 60 };
    let config = Config { cases, max_shrink_iters: 1000, ..Config::with_source_file(file!()) };
    let done = RefCell::default();
    let lives = (any_testbed(), vec(any_step(), 1..40));
    let result = TestRunner::new(config).run(&lives, |(testbed, steps)| {
        run(&done, Testbed::new(testbed), steps);
        Ok(())
    });
    let Done { sequences, steps, posts, unknown, crashes, checkpoints, stops } = done.into_inner();
    result.unwrap_or_else(|failure| panic!("{failure}"));
    println!(
        "figure: lives: sequences={sequences} steps={steps} posts={posts} unknown={unknown} crashes={crashes} \
         checkpoints={checkpoints} stops_in_checkpoints={stops} differences=0"
    );
}
