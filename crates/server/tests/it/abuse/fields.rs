//! Bombs in every field of every service and in every parameter of every route. The fields come from the tables of the
//! services and the parameters from the OpenAPI document, so that a new one is tried too.

use crate::openapi::description::Description;
use hyper::Method;
use ia_catalog::file_jobs::FILE_JOB;
use ia_catalog::listing::{Kind, Resource, Writing};
use ia_engine::services::accounts::{Batch, Members, Sharing, Users};
use ia_engine::services::segment::Segments;
use ia_engine::services::{ALL, ResourceKind};
use ia_testkit::{Answer, Client, Kit};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// In every bomb. No error may repeat it, and no metric may have it. (Plain names of fields are repeated to who sent
/// them; this is none.)
const MARK: &str = "B0!mb";

/// Texts that mean something to a database, a page, a terminal, a log, a header or a template.
fn texts(long: usize) -> Vec<String> {
    let mut texts: Vec<String> = [
        "@' OR '1'='1",
        "@'; DROP TABLE segments; --",
        "@\" OR \"\"=\"",
        "@\\",
        "@%' ESCAPE '!",
        "<script>alert('@')</script>",
        "\"><img src=x onerror=@>",
        "@\0",
        "\0@",
        "\u{1b}]0;@\u{7}\u{1b}[31m",
        "@\r\nSet-Cookie: uuid2=1",
        "@\n2026-01-01T00:00:00Z  INFO all is well",
        "\u{feff}@\u{202e}\u{200d}\u{2028}",
        "@\u{10ffff}\u{fffe}\u{85}",
        "${jndi:ldap://@/}",
        "{{@}}%s%n%x",
        "../../@/etc/passwd",
        "%00%27@%",
        "hbapi:1:@:ia1",
        "@-Correct-horse-1",
        "@,@,@;@|@:@",
        "[@]",
    ]
    .map(|text| text.replace('@', MARK))
    .into();
    texts.push(format!("{MARK}{}", "x".repeat(long)));
    texts.push(format!("{MARK}{}", "\u{1f4a3}\u{301}".repeat(long / 6)));
    texts.push(MARK.repeat(long / 4));
    texts
}

/// Values of a body, as JSON or as what is none.
fn values() -> Vec<String> {
    let mut values: Vec<String> = texts(30_000).into_iter().map(|text| json!(text).to_string()).collect();
    values.extend(
        [
            r#""\ud800@""#,
            r#""\udc00\ud800@""#,
            r#""@\u0000""#,
            "\"@\u{1}\"",
            "\"@\n\"",
            "\"@",
            "1e400",
            "-1e400",
            "1e-400",
            "99999999999999999999",
            "-1",
            "0.5",
            "NaN",
            "true",
            "[]",
            "{}",
            r#"["@"]"#,
            r#"{"@": "@"}"#,
            r#"[{"id": "@", "url": "@", "segment_owner_member_id": "@"}]"#,
            r#"[null, {"@": null}]"#,
        ]
        .map(|value| value.replace('@', MARK)),
    );
    values.extend([
        format!("{}{}", "[".repeat(100), "]".repeat(100)),
        format!("{}1{}", format!("{{\"{MARK}\":").repeat(100), "}".repeat(100)),
        "[".repeat(30_000),
        format!("{{\"{MARK}\":").repeat(5_000),
        format!("[{}1]", "1,".repeat(30_000)),
        format!("[{}{{}}]", "{},".repeat(30_000)),
        format!("{{{}\"last\":1}}", (0..5_000).map(|n| format!("\"{MARK}{n}\":1,")).collect::<String>()),
        "9".repeat(30_000),
    ]);
    values
}

/// All of them in the long form; in the short one every fifth, from another one on in each place.
fn some(all: &[String], place: usize) -> impl Iterator<Item = &String> {
    let step = if super::is_long() { 1 } else { 5 };
    all.iter().skip(place % step).step_by(step)
}

fn path(resource: &Resource) -> String {
    if resource.singular == FILE_JOB.singular {
        return "/batch-segment".to_owned();
    }
    format!("/{}", resource.singular.replace('_', "-"))
}

/// An object that can be created. A new service needs one here.
fn example(resource: &Resource) -> Value {
    match resource.singular {
        "segment" => Segments::example(),
        "member" => Members::example(),
        "user" => {
            let mut user = Users::example();
            user["password"] = json!(ia_testkit::PASSWORD);
            user
        }
        "member_data_sharing" => Sharing::example(),
        "batch_segment_config" => Batch::example(),
        "public-key" => {
            json!({"name": "k", "encoded_value": include_str!("../../fixtures/keys/one.pub.pem"), "user_id": 1})
        }
        other => panic!("no example of {other}"),
    }
}

/// What holds for every answer to a bomb.
fn assert_clear(what: &str, answer: &Answer) {
    let status = answer.status.as_u16();
    let shown: String = what.chars().take(200).collect();
    assert!(matches!(status, 200 | 302 | 400..=422), "{shown}: {status}");
    if status == 200 || status == 302 {
        return;
    }
    assert!(
        !String::from_utf8_lossy(&answer.body).contains(MARK),
        "{shown}: {status} repeats it: {:?}",
        answer.response()["error"]
    );
    let error = answer.response()["error"].as_str().unwrap_or_default().to_owned();
    assert!((11..1000).contains(&error.len()), "{shown}: {error}");
}

/// A kit without limits of rates, with pixels and a public key.
async fn start() -> Kit {
    let unlimited = |config: &mut instant_audience::config::Config| {
        config.limits.api_reads_per_minute = 0;
        config.limits.api_writes_per_minute = 0;
        config.limits.posts_per_second = 0;
        config.limits.gets_per_second = 0;
        config.limits.failed_logins_per_user_per_five_minutes = 0;
        config.limits.failed_logins_per_address_per_five_minutes = 0;
        config.pixels.enabled = true;
        config.pixels.requests_per_second = 0;
        config.pixels.requests_per_second_per_address = 0;
        config.files.waiting_jobs_per_member = usize::MAX;
    };
    let kit = Kit::builder().config(unlimited).start().await;
    let key = json!({"public-key": {"name": "first", "encoded_value": include_str!("../../fixtures/keys/one.pub.pem")}});
    let provider = kit.login("provider").await;
    provider.post("/public-key", &key).await.ok();
    provider.post("/batch-segment", &json!({})).await.ok();
    kit
}

/// How many objects there are of each kind. Any POST makes a job.
async fn counts(admin: &Client) -> Vec<u64> {
    let mut counts = Vec::new();
    for resource in ALL.iter().filter(|resource| resource.singular != FILE_JOB.singular) {
        counts.push(admin.get(&path(resource)).await.ok()["count"].as_u64().unwrap());
    }
    counts
}

/// Metrics have nothing of a bomb, and the server goes on.
async fn assert_sound(kit: &Kit) {
    let metrics = kit.ops("/metrics").await;
    assert!(metrics.body.len() > 1000 && !String::from_utf8_lossy(&metrics.body).contains(MARK));
    let provider = kit.login("provider").await;
    provider.add("1", None, json!([{"seg_id": 12}])).await;
    assert_eq!(provider.segments_of("1").await, [12]);
}

/// Sends a body to a service, with one field of its objects replaced.
async fn explode(admin: &Client, resource: &'static Resource, field: &str, value: &str, id: u64) -> usize {
    let key = resource.singular;
    let mut rest = example(resource);
    rest.as_object_mut().unwrap().remove(field);
    let rest = rest.to_string();
    let rest = rest.trim_start_matches('{').trim_end_matches('}');
    let comma = if rest.is_empty() { "" } else { "," };
    let id_name = if key == "batch_segment_config" { "member_id" } else { "id" };
    let of_id = format!("{}?{id_name}={id}", path(resource));
    let requests = [
        (Method::PUT, of_id, format!(r#"{{"{key}": [{{"{MARK}": {value}, "{field}": {value}}}]}}"#)),
        (Method::POST, path(resource), format!(r#"{{"{key}": {{{rest}{comma} "{field}": {value}}}}}"#)),
    ];
    let sent: Option<String> = serde_json::from_str(value).ok();
    let mut stored = 0;
    for (method, target, body) in requests {
        let what = format!("{method} {target} {field} {value}");
        let answer = admin.send(method, &target, &[], body.into()).await;
        assert_clear(&what, &answer);
        let what: String = what.chars().take(200).collect();
        match answer.status.as_u16() {
            200 => {
                stored += 1;
                let shown = &answer.response()[key][field];
                // What is stored is what was sent, to the byte.
                if let (Some(sent), Some(shown)) = (&sent, shown.as_str()) {
                    assert_eq!(shown, sent, "{what}");
                }
                assert!(field != "password" || shown.is_null(), "{what}");
            }
            400 => {
                let error = answer.response()["error"].as_str().unwrap().to_owned();
                let is_other = field == "member_id" || error.ends_with("nothing else can be changed");
                assert!(error.contains(field) || error.contains("JSON") || is_other, "{what}: {error}");
            }
            _ => {}
        }
    }
    stored
}

#[tokio::test]
async fn every_field_of_every_service_is_safe() {
    let kit = start().await;
    let admin = kit.login("admin").await;
    let values = values();
    let (mut tried, mut stored) = (0, 0);
    for &resource in ALL {
        // The last, which is not the caller's own login or member.
        let listed = admin.get(&path(resource)).await.ok()[resource.plural].clone();
        let id = listed.as_array().and_then(|list| list.last()).unwrap()["id"].as_u64().unwrap();
        for field in resource.fields.iter().filter(|field| field.writing != Writing::Never) {
            for value in some(&values, tried) {
                stored += explode(&admin, resource, field.name, value, id).await;
                tried += 1;
            }
        }
    }
    assert!(tried > 500 && stored > 20, "{tried} tried, {stored} stored");
    // Each list can still be read, searched and sorted, with all that was stored in it.
    for &resource in ALL {
        for field in resource.fields.iter().filter(|field| field.column.is_some()) {
            admin.get(&format!("{}?sort={}.desc&search={MARK}", path(resource), field.name)).await.ok();
        }
    }
    assert_sound(&kit).await;
}

/// The parameters of a service that its table knows, beside those of the document.
fn filters(resource: &'static Resource) -> Vec<(String, bool)> {
    let mut names = Vec::new();
    for field in resource.fields {
        for prefix in ["", "like_", "not_", "min_", "max_", "nmin_", "nmax_"] {
            // Nothing that is stored equals or is like a bomb.
            let is_text = matches!(field.kind, Kind::Text | Kind::Word) && field.column.is_some();
            names.push((format!("{prefix}{}", field.name), is_text && matches!(prefix, "" | "like_")));
        }
    }
    names.push(("search".to_owned(), true));
    names
}

#[tokio::test]
async fn every_parameter_of_every_route_is_safe() {
    let kit = start().await;
    let admin = kit.login("admin").await;
    let before = counts(&admin).await;
    let description = Description::of(&kit).await;
    let texts = texts(10_000);
    let mut tried = 0;
    for operation in description.operations() {
        let method: Method = operation.method.parse().unwrap();
        let described = description.operation(&operation.method, &operation.path);
        let resource = ALL.iter().find(|resource| path(resource) == operation.path);
        let parameters = described["parameters"].as_array().cloned().unwrap_or_default();
        let in_query = parameters.iter().filter(|parameter| parameter["in"] == "query");
        let mut names: Vec<(String, bool)> =
            in_query.map(|parameter| (parameter["name"].as_str().unwrap().to_owned(), false)).collect();
        if let Some(resource) = resource.filter(|_| method == Method::GET) {
            names.extend(filters(resource));
        }
        // And as the whole query, which is the target of some redirects.
        names.push((String::new(), false));
        let target = operation.path.replace("{member_id}", "958").replace("{job_id}", "4711");
        for (name, finds_nothing) in &names {
            for text in some(&texts, tried) {
                let escaped = utf8_percent_encode(text, NON_ALPHANUMERIC);
                let equals = if name.is_empty() { "" } else { "=" };
                let target = format!("{target}?{name}{equals}{escaped}");
                let answer = admin.send(method.clone(), &target, &[], "{}".into()).await;
                assert_clear(&format!("{method} {target}"), &answer);
                if *finds_nothing && answer.status == 200 {
                    assert_eq!(answer.response()["count"], 0, "{target}");
                }
                tried += 1;
            }
        }
        // The fields of its body, each alone and all at once.
        let schema = &described["requestBody"]["content"]["application/json"]["schema"];
        let mut fields = BTreeSet::new();
        description.field_names(schema, &mut fields);
        for value in some(&texts, tried).map(|text| json!(text)) {
            let all: Value = fields.iter().map(|field| (field.clone(), value.clone())).collect();
            let each = fields.iter().map(|field| json!({field: value}));
            for body in each.chain([all, value.clone()]).filter(|_| !fields.is_empty()) {
                let answer = admin.send(method.clone(), &target, &[], body.to_string().into()).await;
                assert_clear(&format!("{method} {target} {body}"), &answer);
                tried += 1;
            }
        }
    }
    assert!(tried > 2000, "{tried}");
    assert_eq!(counts(&admin).await, before, "nothing was created or deleted");
    assert_sound(&kit).await;
}
