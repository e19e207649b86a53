//! Reading back all that can be read.

use crate::operation::Held;
use crate::oracle::{Counts, Holdings, Seen};
use crate::requests::ask;
use anyhow::{Context, bail};
use ia_testkit::ServerProcess;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// How many users are asked for at once.
const USERS_AT_ONCE: usize = 500;

/// Reads these users and the usage report.
pub(crate) async fn look(server: &ServerProcess, token: &str, users: &[u64]) -> anyhow::Result<Seen> {
    let mut seen = Seen { users: BTreeMap::new(), counts: counts(server, token).await? };
    for users in users.chunks(USERS_AT_ONCE) {
        let asked: Vec<Value> = users.iter().map(|user| json!({"user_id": user.to_string()})).collect();
        let body = json!({"users": asked}).to_string();
        let answer = ok(server, "POST", "/user-segment", token, Some(body.as_bytes())).await?;
        let shown = answer["user_segments"].as_array().context("an answer without users")?;
        if shown.len() != users.len() {
            bail!("asked for {} users and got {}", users.len(), shown.len());
        }
        for (&user, shown) in users.iter().zip(shown) {
            let id = user.to_string();
            if shown["user_id"].as_str() != Some(&id) {
                bail!("asked for user {user} and got {}", shown["user_id"]);
            }
            let holdings = holdings(shown)?;
            if !holdings.is_empty() {
                seen.users.insert(user, holdings);
            }
        }
    }
    Ok(seen)
}

/// What a user holds, from what the server says under `user_segment` or in `user_segments`.
pub(crate) fn holdings(shown: &Value) -> anyhow::Result<Holdings> {
    let mut holdings = Holdings::new();
    for membership in shown["segments"].as_array().context("a user without segments")? {
        let number = |name: &str| membership[name].as_u64().and_then(|value| u32::try_from(value).ok());
        let segment = number("id").context("a membership without a segment")?;
        let value = number("value").context("a membership without a value")?;
        let for_ever = membership.get("expires_on").context("a membership without an expiry")?.is_null();
        if holdings.insert(segment, Held { value, for_ever }).is_some() {
            bail!("segment {segment} is there twice in {shown}");
        }
    }
    Ok(holdings)
}

async fn counts(server: &ServerProcess, token: &str) -> anyhow::Result<Counts> {
    let report = ok(server, "GET", "/rt-segment-processed?agg=true", token, None).await?["report"].clone();
    let number = |name: &str| report[name].as_u64().with_context(|| format!("no {name} in {report}"));
    let others = ["num_invalid_users", "num_unauth_segments", "num_inactive_segments", "num_other_errors"];
    Ok(Counts {
        users: number("num_valid_users")?,
        adds: number("num_valid_adds")?,
        removes: number("num_valid_removes")?,
        invalid_segments: number("num_invalid_segments")?,
        others: others.iter().map(|name| number(name)).sum::<anyhow::Result<u64>>()?,
    })
}

async fn ok(
    server: &ServerProcess,
    method: &str,
    path: &str,
    token: &str,
    body: Option<&[u8]>,
) -> anyhow::Result<Value> {
    let answer = ask(server.api, method, path, Some(token), body).await?;
    if answer.status != 200 {
        bail!(
            "{method} {path} was answered with {}: {}",
            answer.status,
            String::from_utf8_lossy(&answer.body)
        );
    }
    Ok(answer.response())
}
