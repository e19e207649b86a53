//! Random lives of the product's engines against a plain map: what was answered OK is there after every crash, what
//! was not is there whole or not at all, and each accepted request is counted once.
//!
//! The log lies on a simulated disk that loses power; the profiles and the statistics lie in a folder, and a crash
//! leaves there what is written. Everything between the body of a request and the JSON of a read is the product's.
//!
//! Lists of steps without preconditions, and not `proptest-state-machine`: how a crash ends is not for the model to
//! know beforehand, so its state does not follow from the steps alone.

mod engines;
mod expected;
mod steps;

use engines::{Engines, Ground};
use expected::Expected;
use proptest::collection::vec;
use proptest::test_runner::{Config, TestRunner};
use std::cell::RefCell;
use steps::{Step, any_ground, any_step};

/// What was done, over all sequences.
#[derive(Debug, Default)]
struct Done {
    sequences: usize,
    steps: usize,
    posts: usize,
    unknown: usize,
    crashes: usize,
    checkpoints: usize,
}

/// One life: the engines, and what they must say.
struct Life<'d> {
    ground: Ground,
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
                let erase = self.expected.erase(&user, segments.as_deref(), self.ground.now_ms);
                self.engines().commit_erase(erase).await;
            }
            Step::Link(user, ids, minutes) => {
                self.expected.link(&user, &ids, minutes, self.ground.now_ms);
                let ids: Vec<String> = ids.iter().map(|id| id.id()).collect();
                self.engines().link(self.ground.now_ms, user.key(), &ids, minutes).await;
            }
            Step::Later(ms) => self.ground.now_ms += ms,
            Step::Earlier(ms) => self.ground.now_ms -= ms,
            Step::Checkpoint => {
                self.done.borrow_mut().checkpoints += 1;
                self.engines().checkpoint();
            }
            Step::WriteStatistics => self.engines().usage.flush().await.unwrap(),
            Step::WarmUp => self.engines().warm_up(),
            Step::Load(user) => self.engines().load(&user.key(), self.ground.now_ms),
            Step::Crash(how) => self.crash(how).await,
            Step::Restart => {
                self.engines.take().unwrap().close().await;
                self.start().await;
            }
        }
        self.compare_reads(steps::all_users());
    }

    fn engines(&self) -> &Engines {
        self.engines.as_ref().expect("they run")
    }

    /// Sends requests at once. Where the power goes after some calls on the disk, those that are not answered OK may
    /// be there after the crash.
    async fn burst(&mut self, posts: &[steps::Post], power_goes_after: Option<u64>) {
        self.done.borrow_mut().posts += posts.len();
        let requests = posts.iter().map(|post| (post.member, post.text())).collect::<Vec<_>>();
        let results = self.engines().post_at_once(&self.ground, &requests, power_goes_after).await;
        for (post, accepted) in posts.iter().zip(results) {
            match accepted {
                Ok(is_logged) => {
                    assert!(!self.expected.has_unknown() || !is_logged, "an OK after a failure of the disk");
                    self.expected.accept(post, self.ground.now_ms);
                }
                Err(error) => {
                    assert!(power_goes_after.is_some(), "refused: {error}");
                    self.expected.doubt(post, self.ground.now_ms);
                    self.done.borrow_mut().unknown += 1;
                }
            }
        }
        // The others are looked at after what may have touched them.
        let touched = posts.iter().flat_map(steps::Post::well_formed_users);
        self.compare_reads(touched.chain(steps::platform_users()));
    }

    async fn crash(&mut self, how: steps::Crash) {
        self.done.borrow_mut().crashes += 1;
        let engines = self.engines.take().expect("they run");
        engines.die(&self.ground.disk);
        self.ground.lose(how);
        self.start().await;
    }

    /// Starts on what is there. How many of the requests in doubt are is read off the log; they come in its order.
    async fn start(&mut self) {
        let engines = Engines::open(&self.ground).await;
        self.expected.settle(engines.last_position());
        self.engines = Some(engines);
        self.compare_statistics().await;
    }

    fn compare_reads(&self, users: impl Iterator<Item = steps::User>) {
        for user in users {
            let now_ms = self.ground.now_ms;
            let shown = self.engines().read(&user.key(), now_ms);
            assert_eq!(shown, self.expected.shown(&user, now_ms), "the read of {user:?}");
        }
    }

    async fn compare_statistics(&self) {
        for member in steps::MEMBERS {
            let hours = self.engines().hours(member).await;
            assert_eq!(hours, self.expected.hours(member), "the statistics of member {member}");
        }
    }
}

fn run(done: &RefCell<Done>, ground: Ground, steps: Vec<Step>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let engines = Some(Engines::open(&ground).await);
        let mut life = Life { ground, engines, expected: Expected::default(), done };
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
fn engines_say_what_a_plain_map_says() {
    let is_long = std::env::var("IA_TORTURE").is_ok_and(|form| form == "long");
    let cases = if is_long { 10_000 } else { 60 };
    let config = Config { cases, max_shrink_iters: 1000, ..Config::with_source_file(file!()) };
    let done = RefCell::default();
    let lives = (any_ground(), vec(any_step(), 1..40));
    let result = TestRunner::new(config).run(&lives, |(ground, steps)| {
        run(&done, Ground::new(ground), steps);
        Ok(())
    });
    let Done { sequences, steps, posts, unknown, crashes, checkpoints } = done.into_inner();
    result.unwrap_or_else(|failure| panic!("{failure}"));
    println!(
        "figure: lives: sequences={sequences} steps={steps} posts={posts} unknown={unknown} crashes={crashes} \
         checkpoints={checkpoints} differences=0"
    );
}
