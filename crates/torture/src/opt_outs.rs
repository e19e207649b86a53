//! People who opt out and in again while the server may die, and whether it remembers what it has answered.
//!
//! They are other people than those of the journal: nothing is ever posted about them, so no sum of the usage report
//! depends on how an opt-out ended.

use crate::findings::Findings;
use crate::requests::ask;
use anyhow::{Context, bail};
use ia_testkit::Dice;
use serde_json::json;
use std::net::SocketAddr;

/// The first of them. All users of the journal are far away.
const FIRST_USER: u64 = 17_000_000_000_000_000_001;
const PEOPLE: usize = 6;

/// How many requests are sent at most while a death is waited for.
const REQUESTS: u32 = 40;

const PATH: &str = "/privacy/consumer-request";

/// The tokens of those who ask for people.
#[derive(Debug, Clone)]
pub(crate) struct Asking {
    /// Of the member.
    pub member: String,
    /// Of the operator.
    pub admin: String,
}

/// What is known of these people.
#[derive(Debug, Default)]
pub(crate) struct OptOuts {
    /// Who has opted out. Every second one has done so from the platform, the others from the member.
    out: [bool; PEOPLE],
    /// Whose last request was not answered.
    in_doubt: Option<usize>,
    /// Requests that were answered with OK.
    pub answered: u64,
}

impl OptOuts {
    /// Sends requests, one after the other, until the server is gone.
    pub(crate) async fn ask(
        &mut self,
        api: SocketAddr,
        tokens: &Asking,
        dice: &mut Dice,
    ) -> anyhow::Result<()> {
        for _ in 0..REQUESTS {
            let person = dice.below(PEOPLE as u64) as usize;
            let request_type = if self.out[person] { "opt_in" } else { "opt_out" };
            self.in_doubt = Some(person);
            let Ok(answer) =
                ask(api, "POST", PATH, Some(token(tokens, person)), Some(&body(person, request_type))).await
            else {
                return Ok(());
            };
            if answer.status != 200 {
                bail!("a request to {request_type} was answered with {answer:?}");
            }
            self.out[person] = !self.out[person];
            self.in_doubt = None;
            self.answered += 1;
        }
        Ok(())
    }

    /// Holds a new server to what was answered. What became of the request without an answer counts from now on.
    pub(crate) async fn check(
        &mut self,
        api: SocketAddr,
        tokens: &Asking,
        findings: &mut Findings,
    ) -> anyhow::Result<()> {
        for person in 0..PEOPLE {
            let answer =
                ask(api, "POST", PATH, Some(token(tokens, person)), Some(&body(person, "access"))).await?;
            let is_out = answer.response()["consumer_request"]["opted_out"].as_bool();
            let is_out = is_out.with_context(|| format!("an access was answered with {answer:?}"))?;
            if is_out != self.out[person] && self.in_doubt != Some(person) {
                findings.lost += 1;
                findings.tell(|| format!("person {person} has opted out: {is_out}, against the last answer"));
            }
            self.out[person] = is_out;
        }
        self.in_doubt = None;
        Ok(())
    }
}

fn token(tokens: &Asking, person: usize) -> &str {
    if person.is_multiple_of(2) { &tokens.admin } else { &tokens.member }
}

fn body(person: usize, request_type: &str) -> Vec<u8> {
    let identifier = FIRST_USER + person as u64;
    json!({"identifier": identifier, "identifier_type": "uuid2", "request_type": request_type})
        .to_string()
        .into_bytes()
}
