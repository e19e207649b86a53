//! The table: every route by every caller, for an own, a foreign and an absent object.
//!
//! For a caller of member 958, that member's objects are its own and member 77's are foreign; for the stranger of
//! member 77, the other way round.

use super::rows::{NO_OBJECTS, NOBODYS, PROVIDERS, Row, STRANGERS, Things, VICTIM, WRITTEN, rows};
use super::{Ask, apply_and_wait, masked, right_credentials};
use crate::openapi::description::Description;
use ia_testkit::{Client, Kit, eventually};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// A caller.
struct Actor {
    name: &'static str,
    client: Client,
    own: &'static Things,
    foreign: &'static Things,
}

impl Row {
    fn expected(&self, actor: &Actor) -> [&'static str; 3] {
        let expected = &self.expected;
        let outsider = expected.outsider;
        match actor.name {
            "no token" | "unknown token" | "expired token" => outsider.unwrap_or(["401 NOAUTH"; 3]),
            "switched off" => outsider.unwrap_or(["401 NOAUTH_DISABLED"; 3]),
            "member" | "other member" => expected.member,
            "read-only" => expected.reader,
            "bidder" | "other bidder" => expected.bidder,
            // What it may not do as it may only read is refused first.
            "read-only bidder" if expected.reader != expected.member => expected.reader,
            "read-only bidder" => expected.bidder,
            "admin" => expected.admin,
            name => panic!("{name}"),
        }
    }
}

/// Prepares the kit with all objects of the table, and returns all callers.
async fn prepare(kit: &Kit) -> Vec<Actor> {
    const HOUR_MS: u64 = 3_600_000;
    let expired = kit.login("provider").await;
    kit.clock.advance(3 * HOUR_MS);
    let off = json!({"username": "stopped", "password": ia_testkit::PASSWORD, "member_id": 958, "user_type": "admin"});
    let more = json!({
        "users": [
            off,
            {"username": "other-bidder", "password": ia_testkit::PASSWORD, "member_id": 77, "user_type": "bidder"},
            {"username": "reading-bidder", "password": ia_testkit::PASSWORD, "member_id": 958, "user_type": "bidder",
             "read_only": true},
        ],
        "segments": [
            {"id": 7770, "member_id": 77, "code": STRANGERS.inactive_code, "state": "inactive"},
            {"id": 10010, "member_id": 958, "code": PROVIDERS.inactive_code, "state": "inactive"},
        ],
        "sharing": [
            {"data_member_id": 958, "buyer_member_id": 1262, "segment_exposure": "list", "segments": []},
            {"data_member_id": 77, "buyer_member_id": 1262, "segment_exposure": "list", "segments": []},
        ],
    });
    apply_and_wait(kit, more, 60_000).await;
    let stopped = kit.login("stopped").await;
    let off = json!({"users": [{"username": "stopped", "member_id": 958, "state": "inactive"}]});
    apply_and_wait(kit, off, 60_001).await;
    eventually("the login to be off", async || {
        (stopped.get("/user-segment?user_id=1").await.status == 401).then_some(())
    })
    .await;
    let (provider, stranger) = (kit.login("provider").await, kit.login("stranger").await);
    for (client, things) in [(&provider, &PROVIDERS), (&stranger, &STRANGERS)] {
        let key =
            json!({"name": things.code, "encoded_value": include_str!("../../fixtures/keys/one.pub.pem")});
        let stored = client.post("/public-key", &json!({"public-key": key})).await.ok();
        assert_eq!(
            (&stored["id"], &stored["public-key"]["user_id"]),
            (&json!(things.key), &json!(things.login_id))
        );
        client.post_bytes("/batch-segment", &[], "").await.ok();
        for user in [things.user, VICTIM, WRITTEN] {
            client.add(user, None, json!([{"seg_id": things.segment, "value": 5}])).await;
        }
    }
    let unknown = Client { token: Some("hbapi:1:unknown:ia1".to_owned()), ..kit.anonymous() };
    let of_provider = |name, client| Actor { name, client, own: &PROVIDERS, foreign: &STRANGERS };
    vec![
        of_provider("no token", kit.anonymous()),
        of_provider("unknown token", unknown),
        of_provider("expired token", expired),
        of_provider("switched off", stopped),
        of_provider("member", provider),
        of_provider("read-only", kit.login("reader").await),
        of_provider("bidder", kit.login("bidder").await),
        of_provider("read-only bidder", kit.login("reading-bidder").await),
        of_provider("admin", kit.login("admin").await),
        Actor { name: "other member", client: stranger, own: &STRANGERS, foreign: &PROVIDERS },
        Actor {
            name: "other bidder",
            client: kit.login("other-bidder").await,
            own: &STRANGERS,
            foreign: &PROVIDERS,
        },
    ]
}

/// The faults that were found, and how many cells were checked.
#[derive(Default)]
struct Findings {
    /// Reads the effects of a write.
    all_seeing: Option<Client>,
    cells: usize,
    leaks: Vec<String>,
    table: BTreeMap<String, String>,
}

impl Findings {
    /// The foreign memberships of the user of a write, with all their fields; a write must not change them.
    async fn foreign_memberships(&self, actor: &Actor, ask: &Ask) -> Option<Value> {
        let body = ask.body.as_ref()?;
        let user = match body["rt_segment"][0]["user_id"].as_str() {
            Some(user) => user,
            // An admin deletes for all members.
            None if actor.name == "admin" => return None,
            None => body["identifier"].as_str()?,
        };
        let target = format!("/user-segment?user_id={user}&member_id={}", actor.foreign.member);
        let seen = self.all_seeing.as_ref()?.get(&target).await.ok();
        Some(seen["user_segment"].clone())
    }
}

/// Checks the three cells of a row for one caller.
async fn examine(row: &Row, actor: &Actor, findings: &mut Findings) {
    let abouts = [actor.own, actor.foreign, &NOBODYS];
    let expected = row.expected(actor);
    let who = format!("{} | {} | {}", row.operation, row.object, actor.name);
    // Bidders see all memberships, and of everything else no more than a member.
    let is_bidder = ["bidder", "read-only bidder", "other bidder"].contains(&actor.name);
    let sees_all = actor.name == "admin" || (is_bidder && row.expected.bidder[1] == "shown");
    let is_member = ["member", "read-only", "other member"].contains(&actor.name) || (is_bidder && !sees_all);
    let mut answers = Vec::new();
    let mut outcomes = Vec::new();
    for (index, about) in abouts.into_iter().enumerate() {
        let ask = (row.ask)(about, actor.own);
        let before = findings.foreign_memberships(actor, &ask).await;
        let answer = ask.by(&actor.client).await;
        let after = findings.foreign_memberships(actor, &ask).await;
        if before != after {
            findings.leaks.push(format!("{who} [{index}]: {before:?} became {after:?}"));
        }
        let outcome = (row.outcome)(&answer);
        findings.cells += 1;
        if outcome != expected[index] {
            findings.leaks.push(format!("{who} [{index}]: {outcome}, not {}", expected[index]));
        }
        let asked = format!("{} {:?}", ask.target, ask.body.as_ref().map(Value::to_string));
        let text = String::from_utf8_lossy(&answer.body);
        for canary in actor.foreign.canaries().into_iter().filter(|_| !sees_all) {
            if text.contains(&canary) && !asked.contains(&canary) {
                findings.leaks.push(format!("{who} [{index}]: {canary} in {}", masked(&answer, &[])));
            }
        }
        let names = [actor.own, actor.foreign, &NOBODYS].map(Things::names).concat();
        // The server forgets an expired token after some time.
        answers.push(masked(&answer, &names).replace("token has expired", "token is not known"));
        outcomes.push(outcome);
    }
    // A caller without a valid token learns nothing either.
    let outsider = ["no token", "unknown token", "expired token", "switched off"].contains(&actor.name);
    if ((row.expected.alike && is_member) || outsider) && answers[1] != answers[2] {
        findings.leaks.push(format!("{who}: foreign {}\nabsent {}", answers[1], answers[2]));
    }
    findings.table.insert(who.clone(), outcomes.join(" | "));
}

/// Every parameter and field of the document that names an object must be in some row.
fn assert_complete(description: &Description, rows: &[Row]) {
    let named: BTreeSet<String> = rows.iter().map(|row| row.operation.to_owned()).collect();
    let described: BTreeSet<String> = description
        .operations()
        .iter()
        .map(|operation| format!("{} {}", operation.method, operation.path))
        .collect();
    assert_eq!(named, described, "a route without rows, or rows without a route");
    for operation in description.operations() {
        let mut names = BTreeSet::new();
        let described = description.operation(&operation.method, &operation.path);
        // Parameters in the path need no row: every target has them.
        let parameters = described["parameters"].as_array().unwrap().iter();
        for parameter in parameters.filter(|parameter| parameter["in"] != "path") {
            names.insert(parameter["name"].as_str().unwrap().to_owned());
        }
        let body = &described["requestBody"]["content"]["application/json"]["schema"];
        description.field_names(body, &mut names);
        let operation = format!("{} {}", operation.method, operation.path);
        let asks: String = rows
            .iter()
            .filter(|row| row.operation == operation)
            .map(|row| {
                let ask = (row.ask)(&STRANGERS, &PROVIDERS);
                format!("{} {}", ask.target, ask.body.unwrap_or_default())
            })
            .collect();
        for name in names.iter().filter(|name| !NO_OBJECTS.contains(&name.as_str())) {
            assert!(asks.contains(name.as_str()), "{operation}: no row for {name}");
        }
    }
}

#[tokio::test]
#[expect(clippy::print_stdout, reason = "the table and the figure of the test")]
async fn nobody_gets_where_they_do_not_belong() {
    let kit = Kit::builder()
        .config(|config| {
            config.limits.failed_logins_per_user_per_five_minutes = 0;
            config.limits.failed_logins_per_address_per_five_minutes = 0;
            config.pixels.enabled = true;
            config.pixels.redirect_hosts = serde_json::from_value(json!(["ok.example.com"])).unwrap();
        })
        .start()
        .await;
    let actors = prepare(&kit).await;
    let rows = rows();
    assert_complete(&Description::of(&kit).await, &rows);
    let mut findings = Findings { all_seeing: Some(kit.login("bidder").await), ..Findings::default() };
    for row in &rows {
        for actor in &actors {
            examine(row, actor, &mut findings).await;
        }
    }
    // For a foreign segment, a report only repeats what the caller sent.
    for actor in actors.iter().filter(|actor| ["member", "other member"].contains(&actor.name)) {
        let report = actor.client.get("/rt-segment-processed").await.ok().to_string();
        let Things { segment, code, .. } = actor.foreign;
        assert!(report.contains(&format!("({segment}, '', 0)")), "{report}");
        assert!(!report.contains(&format!("{segment}, '{code}'")), "{report}");
    }
    // All callers still can log in.
    kit.anonymous().post("/auth", &right_credentials("provider")).await.ok();

    for (cell, outcomes) in &findings.table {
        println!("cell: {cell} | {outcomes}");
    }
    println!("figure: tenants: cells={} leaks={}", findings.cells, findings.leaks.len());
    assert!(findings.leaks.is_empty(), "{:#?}", findings.leaks);
}
