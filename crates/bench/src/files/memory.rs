//! What a large upload adds to the server's resident memory, while it comes in, is checked and is read.

use super::Plan;
use super::crowd::{Crowd, PER_USER, catalog, username, write_line};
use super::job::Job;
use crate::aim::Aim;
use crate::client::{Connection, Target};
use crate::error::Error;
use crate::population::Membership;
use crate::progress::Progress;
use crate::report::{Page, mib};
use crate::site::Site;
use bytes::Bytes;
use ia_testkit::procfs;
use serde::Serialize;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Users of the file: so few that what they are in takes no memory to speak of.
const USERS: u64 = 1000;

/// How often the memory is looked at.
const SAMPLE: Duration = Duration::from_millis(10);

/// The outcome.
#[derive(Debug, Serialize)]
pub(super) struct Memory {
    upload_bytes: usize,
    seconds: f64,
    quiet_bytes: u64,
    /// The most in each phase.
    peak_bytes: BTreeMap<String, u64>,
    /// Over the quiet server.
    growth_bytes: u64,
}

impl Memory {
    pub(super) async fn measure(site: &Site, plan: &Plan, progress: &Progress) -> Result<Memory, Error> {
        progress.show("files: preparing");
        let installation = site.install_with("memory", &catalog(1))?;
        let server = installation.start().await?;
        let target = Target::log_in_as(&server, &username(1)).await?;
        let crowd = Crowd::new(1, USERS);
        let (file, lines) = large_file(&crowd, plan.upload_mib << 20).map_err(Error::io("make a file"))?;
        let mut connection = Connection::open(&target).await?;
        // The users are there already, and all that a first file brings.
        let first = Job::create(&mut connection).await?;
        first.upload(&mut connection, &crowd.gzip().map_err(Error::io("make a file"))?.into()).await?;
        let ended = first.end(&mut connection, SAMPLE).await?;
        ended.must_have(crowd.users(), crowd.memberships_count())?;
        tokio::time::sleep(Duration::from_millis(500)).await;
        let quiet_bytes = resident_bytes(&target)?;

        let upload_bytes = file.len();
        let job = Job::create(&mut connection).await?;
        let mut sender = Connection::open(&target).await?;
        let started = Instant::now();
        let sending = job.clone();
        let upload = tokio::spawn(async move { sending.upload(&mut sender, &file).await });
        let mut peak_bytes = BTreeMap::<String, u64>::new();
        let ended = loop {
            let status = job.status(&mut connection).await?;
            let most = peak_bytes.entry(status.phase.clone()).or_default();
            *most = (*most).max(resident_bytes(&target)?);
            if matches!(status.phase.as_str(), "completed" | "error") {
                break status;
            }
            progress.show(&format!("files: memory beside an upload, {}", status.phase));
            tokio::time::sleep(SAMPLE).await;
        };
        upload.await.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()))?;
        let seconds = started.elapsed().as_secs_f64();
        ended.must_have(lines, lines * u64::from(PER_USER))?;
        installation.stop(server).await?;
        let most = peak_bytes.values().copied().max().unwrap_or_default();
        let growth_bytes = most.saturating_sub(quiet_bytes);
        Ok(Memory { upload_bytes, seconds, quiet_bytes, peak_bytes, growth_bytes })
    }

    pub(super) fn aims(&self) -> Vec<Aim> {
        let growth_mib = self.growth_bytes as f64 / f64::from(1 << 20);
        vec![Aim::at_most("memory beside a large upload", Some(growth_mib), "MiB", 64.0, None)]
    }

    pub(super) fn write(&self, page: &mut Page) {
        let peaks: Vec<String> =
            self.peak_bytes.iter().map(|(phase, &bytes)| format!("{phase} {}", mib(bytes))).collect();
        page.line(format_args!(
            "memory: an upload of {} MiB of text, done after {:.1} s; resident MiB: quiet {}, at most while {}",
            mib(self.upload_bytes as u64),
            self.seconds,
            mib(self.quiet_bytes),
            peaks.join(", ")
        ));
    }
}

fn resident_bytes(target: &Target) -> Result<u64, Error> {
    Ok(procfs::usage(target.pid)?.resident_bytes)
}

/// Text of about that many bytes, without two equal lines near each other, and how many lines it has.
fn large_file(crowd: &Crowd, bytes: u64) -> std::io::Result<(Bytes, u64)> {
    let capacity = usize::try_from(bytes).unwrap_or(usize::MAX);
    let mut file = Vec::with_capacity(capacity);
    let (mut line, mut lines) = (Vec::new(), 0);
    loop {
        let user = lines % crowd.users();
        // For years, so that none is a short one: a number of the line.
        let expiration = 1_000_000 + u32::try_from(lines).expect("there are some millions");
        line.clear();
        let memberships = crowd.memberships(user).map(|of_user| Membership { expiration, ..of_user });
        write_line(&mut line, crowd.id(user), memberships)?;
        if file.len() + line.len() > capacity {
            return Ok((file.into(), lines));
        }
        file.extend_from_slice(&line);
        lines += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn a_large_file_has_its_size_and_no_line_twice() {
        let (file, lines) = large_file(&Crowd::new(1, USERS), 1 << 20).unwrap();
        assert!((1 << 20) - 1000 < file.len() && file.len() <= 1 << 20);
        let text = std::str::from_utf8(&file).unwrap();
        let different: HashSet<&str> = text.lines().collect();
        assert_eq!(different.len() as u64, lines);
        let users: HashSet<&str> = text.lines().filter_map(|line| line.split(':').next()).collect();
        assert_eq!(users.len() as u64, USERS);
    }
}
