//! The hosts of a member to which its pixels may redirect.

use super::{outcome, put};
use ia_testkit::{Answer, Client, Kit, eventually};
use serde_json::{Value, json};

async fn start() -> Kit {
    let pixels = Kit::builder().config(|config| {
        config.pixels.enabled = true;
        config.pixels.members = serde_json::from_value(json!(["77", "958"])).unwrap();
        config.pixels.redirect_hosts = serde_json::from_value(json!(["ok.example.com"])).unwrap();
    });
    pixels.start().await
}

fn hosts(hosts: Value) -> Value {
    json!({"member": {"redirect_hosts": hosts}})
}

async fn set(admin: &Client, target: &str, sent: Value) -> Value {
    put(admin, target, hosts(sent)).await.ok()["member"]["redirect_hosts"].clone()
}

/// Where a pixel redirects; `None` where it is refused for its host.
async fn target_of(kit: &Kit, query: &str) -> Option<String> {
    let answer: Answer = kit.anonymous().get(&format!("/seg?{query}")).await;
    if answer.status == 400 {
        let error = answer.response()["error"].clone();
        assert_eq!(error, "'redir' is not followed: redirects to this host are not allowed");
        return None;
    }
    assert_eq!(answer.status, 302, "{query}: {:?}", answer.body);
    answer.header("location").map(str::to_owned)
}

#[tokio::test]
async fn a_pixel_of_a_member_may_go_to_its_own_hosts() {
    let mut kit = start().await;
    let admin = kit.login("admin").await;
    let (own, below) = ("https://a.example/?x=1", "https://b.c.example:8443/");
    for to in [own, below] {
        assert_eq!(target_of(&kit, &format!("add=777&redir={to}")).await, None);
    }
    let shown = set(&admin, "/member?id=77", json!(["A.example:443", "*.c.example:8443", "a.example"])).await;
    assert_eq!(shown, json!(["a.example", "*.c.example:8443"]), "each once, as it is read");
    kit.restart().await;
    let admin = kit.login("admin").await;
    for to in [own, below] {
        // By its name, and as the owner of the first segment that exists.
        for pixel in ["add=777&member=77", "add=777", "add=4711,777,12", "add_code=x&member=77"] {
            assert_eq!(target_of(&kit, &format!("{pixel}&redir={to}")).await.as_deref(), Some(to), "{pixel}");
        }
        // Another member's pixel, a member for which none may write, and none at all.
        for pixel in
            ["add=777&member=958", "add=12,777", "add=777&member=1661", "add=4711", "add=777&member=4712"]
        {
            assert_eq!(target_of(&kit, &format!("{pixel}&redir={to}")).await, None, "{pixel}");
        }
    }
    for to in
        ["http://a.example:81/", "https://c.example:8443/", "https://b.c.example/", "https://xa.example/"]
    {
        assert_eq!(target_of(&kit, &format!("add=777&redir={to}")).await, None, "{to}");
    }
    let global = "https://ok.example.com/";
    assert_eq!(target_of(&kit, &format!("add=777&redir={global}")).await.as_deref(), Some(global));
    assert_eq!(kit.anonymous().get(&format!("/getuid?{own}")).await.status, 400, "these are of no member");

    let added = set(&admin, "/member?id=77&append=true", json!("d.example")).await;
    assert_eq!(added, json!(["a.example", "*.c.example:8443", "d.example"]));
    put(&admin, "/member?id=77", json!({"member": {"name": "Other"}})).await.ok();
    assert_eq!(
        target_of(&kit, "add=777&redir=https://d.example/").await.as_deref(),
        Some("https://d.example/")
    );
    put(&admin, "/member?id=77", json!({"member": {"state": "inactive"}})).await.ok();
    assert_eq!(target_of(&kit, &format!("add=777&member=77&redir={own}")).await, None, "it is switched off");
    put(&admin, "/member?id=77", json!({"member": {"state": "active"}})).await.ok();
    assert_eq!(target_of(&kit, &format!("add=777&redir={own}")).await.as_deref(), Some(own));
    for empty in [json!([]), Value::Null] {
        set(&admin, "/member?id=77", json!(["a.example"])).await;
        assert_eq!(set(&admin, "/member?id=77", empty).await, json!([]));
        assert_eq!(target_of(&kit, &format!("add=777&redir={own}")).await, None);
    }

    // A catalog file says it too.
    let member = |hosts: Value| json!({"members": [{"id": 77, "name": "Stranger", "redirect_hosts": hosts}]});
    for (hosts, is_allowed) in [(json!(["*.example"]), true), (Value::Null, false)] {
        kit.apply(&member(hosts)).await;
        eventually("the file to be in force", async || {
            let target = target_of(&kit, &format!("add=777&redir={own}")).await;
            (target.is_some() == is_allowed).then_some(())
        })
        .await;
    }
}

#[tokio::test]
async fn only_an_admin_sets_hosts_and_only_such_as_the_server_takes() {
    let kit = start().await;
    let (admin, stranger) = (kit.login("admin").await, kit.login("stranger").await);
    set(&admin, "/member?id=77", json!(["a.example"])).await;
    for sent in [json!(["b.example"]), json!([]), Value::Null] {
        assert_eq!(outcome(&put(&stranger, "/member?id=77", hosts(sent)).await), "403 UNAUTH");
    }
    // Who sends back what was read changes nothing by it.
    assert_eq!(set(&stranger, "/member?id=77", json!(["a.example"])).await, json!(["a.example"]));
    let no_host = "is not a host, \"*.\" and a host, or one of these with a port";
    let many: Vec<String> = (0..101).map(|n| format!("h{n}.example")).collect();
    for (sent, error) in [
        (json!(["b.example", "https://c.example"]), format!("'redirect_hosts[1]': {no_host}")),
        (json!(["*"]), format!("'redirect_hosts[0]': {no_host}")),
        (json!(["*.*.example"]), format!("'redirect_hosts[0]': {no_host}")),
        (json!(["user@c.example"]), format!("'redirect_hosts[0]': {no_host}")),
        (json!(["c.example/x"]), format!("'redirect_hosts[0]': {no_host}")),
        (json!(["c.example d.example"]), format!("'redirect_hosts[0]': {no_host}")),
        (json!([""]), format!("'redirect_hosts[0]': {no_host}")),
        (json!(["c\u{e4}.example"]), format!("'redirect_hosts[0]': {no_host}")),
        (json!([5]), "'redirect_hosts' must be a list of at most 100".to_owned()),
        (json!(["c\n.example"]), "'redirect_hosts' must be a list of at most 100".to_owned()),
        (
            json!([format!("{}.example", "x".repeat(300))]),
            "'redirect_hosts' must be a list of at most 100".to_owned(),
        ),
        (json!(many), "'redirect_hosts' must be a list of at most 100".to_owned()),
    ] {
        let answer = put(&admin, "/member?id=77", hosts(sent.clone())).await;
        let found = answer.response()["error"].as_str().unwrap().to_owned();
        assert_eq!(outcome(&answer), "400 SYNTAX", "{sent}");
        assert!(found.starts_with(&error), "{sent}: {found}");
    }
    let beyond = put(&admin, "/member?id=77&append=true", hosts(json!(many[..100]))).await;
    assert_eq!(beyond.response()["error"], "'redirect_hosts': a member has at most 100");
    let shown = admin.get("/member?id=77").await.ok();
    assert_eq!(shown["member"]["redirect_hosts"], json!(["a.example"]));
}
