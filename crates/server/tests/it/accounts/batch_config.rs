//! `/batch-segment-config`: the vendor's key and its form of `segment_fields`, and the rules of separators.

use super::{ask, outcome, post, put};
use hyper::Method;
use ia_testkit::{Client, Kit};
use serde_json::{Value, json};

const OURS: &str = "batch_segment_config";
const VENDORS: &str = "batch_segment_upload_config";
const TARGET: &str = "/batch-segment-config?member_id=77";

/// Everything that an answer has beside the usual: its payload.
fn payload_keys(response: &Value) -> Vec<&str> {
    let keys = response.as_object().unwrap().keys().map(String::as_str);
    let common = ["status", "count", "start_element", "num_elements", "id", "dbg_info"];
    keys.filter(|key| !common.contains(key)).collect()
}

#[tokio::test]
async fn an_answer_has_the_key_of_its_request() {
    let kit = Kit::start().await;
    let admin = kit.login("admin").await;
    let several = |key: &str| json!({key: [{"member_id": 77}, {"member_id": 1661}]});
    for (method, target, body, key) in [
        (Method::POST, TARGET, json!({VENDORS: {"separator_1": "_"}}), VENDORS),
        (Method::PUT, TARGET, json!({VENDORS: {}}), VENDORS),
        (Method::PUT, TARGET, json!({OURS: {}}), OURS),
        (Method::PUT, TARGET, json!({format!("{VENDORS}s"): [{}]}), VENDORS),
        (
            Method::PUT,
            "/batch-segment-config",
            several(&format!("{VENDORS}s")),
            "batch_segment_upload_configs",
        ),
        (Method::PUT, "/batch-segment-config", several(VENDORS), "batch_segment_upload_configs"),
        (Method::PUT, "/batch-segment-config", several(OURS), "batch_segment_configs"),
    ] {
        let response = ask(&admin, method.clone(), target, &body).await.ok();
        assert_eq!(payload_keys(&response), [key], "{method} {target} {body}");
        assert_eq!(response["dbg_info"]["output_term"], key, "{method} {target} {body}");
        let shown = if response[key].is_array() { &response[key][0] } else { &response[key] };
        assert_eq!((&shown["member_id"], &shown["separator_1"]), (&json!(77), &json!("_")));
    }
    assert_eq!(payload_keys(&admin.get("/batch-segment-config").await.ok()), ["batch_segment_configs"]);
    let both = put(&admin, TARGET, json!({VENDORS: {}, OURS: {}})).await;
    assert_eq!(outcome(&both), "400 SYNTAX");
    assert_eq!(both.response()["error"], format!("'{OURS}' and '{VENDORS}' cannot be used together"));
    let unknown = put(&admin, TARGET, json!({VENDORS: {"seperator_2": "~"}})).await.ok();
    assert_eq!(
        unknown["dbg_info"]["warnings"],
        json!([format!("'seperator_2' is no field of {VENDORS} and was ignored")])
    );
}

/// Sends one field and gives what is shown of it, or the error.
async fn set(admin: &Client, field: &str, value: &Value) -> Value {
    let answer = put(admin, TARGET, json!({VENDORS: {field: value}})).await;
    match answer.status.as_u16() {
        200 => answer.response()[VENDORS][field].clone(),
        _ => json!(format!("{} {}", outcome(&answer), answer.response()["error"].as_str().unwrap())),
    }
}

#[tokio::test]
async fn segment_fields_come_as_a_list_or_as_one_text() {
    let kit = Kit::start().await;
    let admin = kit.login("admin").await;
    let (id, code) =
        (json!(["SEG_ID", "EXPIRATION", "VALUE"]), json!(["SEG_CODE", "MEMBER_ID", "TIMESTAMP"]));
    for (sent, stored) in [
        (json!(["SEG_ID", "EXPIRATION", "VALUE"]), &id),
        (json!("[SEG_ID,EXPIRATION,VALUE]"), &id),
        (json!(" [ seg_id , Expiration,VALUE ] \n"), &id),
        (json!("SEG_ID,EXPIRATION,VALUE"), &id),
        (json!(r#"["SEG_ID", "EXPIRATION", "VALUE"]"#), &id),
        (json!([" seg_code", "member_id", "TIMESTAMP\t"]), &code),
        (json!("[SEG_CODE,MEMBER_ID,TIMESTAMP]"), &code),
        (json!("SEG_CODE"), &json!(["SEG_CODE"])),
    ] {
        assert_eq!(&set(&admin, "segment_fields", &sent).await, stored, "{sent}");
    }
    let stored = json!(["SEG_CODE"]);
    let no_field = "a field is one of SEG_ID, SEG_CODE, MEMBER_ID, EXPIRATION, VALUE, TIMESTAMP";
    for (sent, error) in [
        (json!("[SEG_ID,COLOUR]"), format!("'segment_fields[1]': {no_field}")),
        (json!(["SEG_ID", ""]), format!("'segment_fields[1]': {no_field}")),
        (json!("SEG_ID,"), format!("'segment_fields[1]': {no_field}")),
        (json!("SEG_ID VALUE"), format!("'segment_fields[0]': {no_field}")),
        (json!("[SEG_ID"), format!("'segment_fields[0]': {no_field}")),
        (json!(["SEG_ID,VALUE"]), format!("'segment_fields[0]': {no_field}")),
        (json!(["VALUE", "SEG_ID", "value"]), "'segment_fields[2]': VALUE stands twice".to_owned()),
        (json!("[SEG_ID,SEG_ID]"), "'segment_fields[1]': SEG_ID stands twice".to_owned()),
        (json!("[VALUE]"), "'segment_fields': SEG_ID or SEG_CODE is needed".to_owned()),
        (json!("[]"), "'segment_fields': SEG_ID or SEG_CODE is needed".to_owned()),
        (json!([]), "'segment_fields': SEG_ID or SEG_CODE is needed".to_owned()),
        (json!(["MEMBER_ID", "VALUE"]), "'segment_fields': SEG_ID or SEG_CODE is needed".to_owned()),
        (
            json!("[SEG_ID,SEG_CODE]"),
            "'segment_fields': SEG_ID and SEG_CODE cannot be used together".to_owned(),
        ),
        (
            json!(5),
            "'segment_fields' must be a list of at most 6 of: names of fields, or one text like [SEG_ID,VALUE]"
                .to_owned(),
        ),
    ] {
        assert_eq!(set(&admin, "segment_fields", &sent).await, format!("400 SYNTAX {error}"), "{sent}");
        let kept = admin.get(TARGET).await.ok()["batch_segment_config"]["segment_fields"].clone();
        assert_eq!(kept, stored, "{sent}");
    }
}

#[tokio::test]
async fn a_separator_is_one_sign_that_no_program_takes_for_another() {
    let kit = Kit::start().await;
    let admin = kit.login("admin").await;
    for sign in "_ !\"%&'.<=>@`~\t".chars() {
        assert_eq!(set(&admin, "separator_2", &json!(sign)).await, json!(sign), "{sign:?}");
    }
    let before = admin.get(TARGET).await.ok()["batch_segment_configs"].clone();
    let signs = "[](){}$\\/|?*+-aZ09\n\r\0\u{1b}\u{7f}\u{a0}\u{e9}\u{2028}\u{feff}".chars().map(String::from);
    let texts = ["", "::", ": ", "\r\n", "\t\t", "^_^"].map(str::to_owned);
    for text in signs.chain(texts).chain(["~".repeat(100_000)]) {
        let error = set(&admin, "separator_2", &json!(text)).await;
        let shown: String = text.chars().take(8).collect();
        assert!(
            error
                .as_str()
                .unwrap()
                .starts_with("400 SYNTAX 'separator_2': a separator is one ASCII character"),
            "{shown:?}: {error}"
        );
    }
    for value in [json!(5), json!([";"]), json!({"separator": ";"})] {
        let error = set(&admin, "separator_2", &value).await;
        assert_eq!(error, "400 SYNTAX 'separator_2' must be one character, as text");
    }
    assert_eq!(admin.get(TARGET).await.ok()["batch_segment_configs"], before);
}

#[tokio::test]
async fn only_the_first_and_the_third_separator_may_be_equal() {
    let kit = Kit::start().await;
    let admin = kit.login("admin").await;
    let mut allowed = Vec::new();
    for one in 1..=5 {
        for other in one + 1..=5 {
            // A new set-up has the usual separators.
            let mut object = json!({"separator_1": ":", "separator_2": ";", "separator_3": ",", "separator_4": "#", "separator_5": "^"});
            object[format!("separator_{one}")] = json!("~");
            object[format!("separator_{other}")] = json!("~");
            let answer = put(&admin, TARGET, json!({VENDORS: object})).await;
            if answer.status == 200 {
                allowed.push((one, other));
                continue;
            }
            let error = format!(
                "'separator_{other}': it is the same as separator_{one}; only separator_1 and separator_3 may be equal"
            );
            assert_eq!(
                (outcome(&answer).as_str(), &answer.response()["error"]),
                ("400 SYNTAX", &json!(error))
            );
        }
    }
    assert_eq!(allowed, [(1, 3)]);
    // The one that was sent is named, and in a list of objects its place.
    put(&admin, TARGET, json!({VENDORS: {"separator_1": ":", "separator_3": ":"}})).await.ok();
    let error = set(&admin, "separator_1", &json!("#")).await;
    assert_eq!(
        error,
        "400 SYNTAX 'separator_1': it is the same as separator_4; only separator_1 and separator_3 may be equal"
    );
    let in_list =
        json!({format!("{VENDORS}s"): [{"member_id": 1661}, {"member_id": 77, "separator_5": ";"}]});
    let error = put(&admin, "/batch-segment-config", in_list).await.response()["error"].clone();
    assert!(
        error.as_str().unwrap().starts_with(&format!("'{VENDORS}s[1].separator_5': it is the same")),
        "{error}"
    );
    // Two can change places.
    let swapped = json!({VENDORS: {"separator_2": "#", "separator_4": ";"}});
    let shown = put(&admin, TARGET, swapped).await.ok()[VENDORS].clone();
    assert_eq!((&shown["separator_2"], &shown["separator_4"]), (&json!("#"), &json!(";")));
}

#[tokio::test]
async fn integers_come_in_any_form() {
    let kit = Kit::start().await;
    let admin = kit.login("admin").await;
    let raw =
        async |target: &str, method: Method, body: String| admin.send(method, target, &[], body.into()).await;
    for number in ["1440", "1440.0", "1.44e3", "\"1440\"", "\"1440.0\"", "\" 1440 \"", "\"1.44E3\""] {
        let set_up =
            format!(r#"{{"{VENDORS}": {{"default_expiration": {number}, "daily_byte_limit": {number}}}}}"#);
        let shown = raw(TARGET, Method::PUT, set_up).await.ok()[VENDORS].clone();
        assert_eq!(
            (&shown["default_expiration"], &shown["daily_byte_limit"]),
            (&json!(1440), &json!(1440)),
            "{number}"
        );
        let member = format!(r#"{{"member": {{"id": 77.0, "limits": {{"users_per_request": {number}}}}}}}"#);
        let shown = raw("/member", Method::PUT, member).await.ok()["member"]["limits"].clone();
        assert_eq!(shown["users_per_request"], 1440, "{number}");
        let segment = format!(
            r#"{{"segment": {{"expire_minutes": {number}, "parent_segment_id": "12.0", "member_id": 958.0}}}}"#
        );
        let shown = raw("/segment?id=10001.0", Method::PUT, segment).await.ok()["segment"].clone();
        assert_eq!(
            (&shown["expire_minutes"], &shown["parent_segment_id"]),
            (&json!(1440), &json!(12)),
            "{number}"
        );
    }
    let shared = json!({"member_data_sharing": {"buyer_member_id": "77.0", "segment_exposure": "list", "segments": [12.0, {"id": "10001.0"}]}});
    let shown = post(&admin, "/member-data-sharing", shared).await.ok()["member_data_sharing"].clone();
    assert_eq!((&shown["buyer_member_id"], &shown["segments"][1]["id"]), (&json!(77), &json!(10001)));
    for number in ["1440.5", "\"1440.5\"", "-1", "1e300", "\"NaN\"", "\"Infinity\"", "\"1,440\"", "[1440]"] {
        for (target, body, field) in [
            (TARGET, format!(r#"{{"{VENDORS}": {{"default_expiration": {number}}}}}"#), "default_expiration"),
            (
                TARGET,
                format!(r#"{{"{VENDORS}": {{"hourly_num_lines_limit": {number}}}}}"#),
                "hourly_num_lines_limit",
            ),
            (
                "/member?id=77",
                format!(r#"{{"member": {{"limits": {{"payload_bytes": {number}}}}}}}"#),
                "limits.payload_bytes",
            ),
            ("/segment?id=12", format!(r#"{{"segment": {{"expire_minutes": {number}}}}}"#), "expire_minutes"),
        ] {
            let answer = raw(target, Method::PUT, body).await;
            let error = answer.response()["error"].as_str().unwrap().to_owned();
            assert_eq!(outcome(&answer), "400 SYNTAX", "{number}");
            assert!(error.starts_with(&format!("'{field}' must be an integer from 0")), "{number}: {error}");
        }
    }
    // What JSON does not have is named by its place.
    let answer =
        raw("/segment?id=12", Method::PUT, r#"{"segment": {"expire_minutes": NaN}}"#.to_owned()).await;
    let error = answer.response()["error"].as_str().unwrap().to_owned();
    assert!(error.ends_with("in 'segment.expire_minutes'"), "{error}");
}
