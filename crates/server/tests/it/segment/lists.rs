//! Filters, order and pages over HTTP. The catalog's tests check that both stores agree on all of them.

use super::{listed, put};
use ia_testkit::Kit;
use serde_json::json;

#[tokio::test]
async fn a_list_is_what_was_asked_for() {
    let kit = Kit::start().await;
    let provider = kit.login("provider").await;
    let change = |id: u32, name: &str, price: f64| json!({"id": id, "short_name": name, "price": price});
    let names = json!({"segments": [
        change(12, "Alpha", 0.5), change(10001, "beta", 1.5), change(10002, "Gamma_%", 2.5),
    ]});
    put(&provider, "/segment", &names).await.ok();
    let hidden = json!({"segment": {"price": 9.5, "expire_minutes": 90}});
    put(&kit.login("admin").await, "/segment/1661?id=30001", &hidden).await.ok();
    for (query, ids) in [
        // 30001 is shared with the provider.
        ("", &[12, 10001, 10002, 10009, 23784, 30001][..]),
        ("include_shared=0", &[12, 10001, 10002, 10009, 23784]),
        ("include_shared=false&sort=id.desc&num_elements=2", &[23784, 10009]),
        ("id=12&state=active", &[12]),
        ("id=10002,12,4711,777", &[12, 10002]),
        ("code=TRAVEL,abcd", &[10002, 30001]),
        ("state=inactive", &[10009]),
        ("not_state=inactive&not_id=12", &[10001, 10002, 23784, 30001]),
        ("min_id=10002&max_id=23784", &[10002, 10009, 23784]),
        ("min_price=0.5&max_price=1.5", &[12, 10001]),
        ("nmin_expire_minutes=61", &[12, 10001, 10002, 10009, 30001]),
        ("min_expire_minutes=60", &[23784]),
        ("like_short_name=%25a", &[12, 10001]),
        ("like_short_name=AMM", &[10002]),
        ("search=_%25", &[10002]),
        ("search=000", &[10001, 10002, 10009, 30001]),
        ("sort=short_name.desc&include_shared=0&num_elements=3", &[10002, 10001, 12]),
        ("sort=state.asc,code.desc&include_shared=0", &[10002, 23784, 10001, 12, 10009]),
        // Fields of a shared segment that are not shown count as null: 30001 has an expiration, and a price above 0.
        ("sort=price&min_id=20000", &[30001, 23784]),
        ("sort=price.desc&min_id=20000", &[23784, 30001]),
        ("sort=expire_minutes.desc,code&min_id=20000", &[23784, 30001]),
        ("sort=price&min_id=20000&num_elements=1&start_element=1", &[23784]),
        ("sort=price&min_id=20000&include_shared=0", &[23784]),
        ("min_expire_minutes=1&min_id=20000", &[23784]),
        ("expire_minutes=90,60&min_id=20000", &[23784]),
        ("not_expire_minutes=90&min_id=20000", &[23784, 30001]),
        ("nmin_price=1&min_id=20000", &[30001]),
        ("nmax_price=0&min_id=20000", &[23784, 30001]),
        ("nmax_advertiser_id=1&min_id=20000", &[23784, 30001]),
        ("min_last_modified=2026-01-31+13:00:00&min_id=20000", &[23784]),
        ("min_last_modified=2026-01-31%2013:00:01", &[]),
        ("start_element=2&num_elements=2", &[10002, 10009]),
        ("start_element=6", &[]),
        ("start_element=4294967295", &[]),
        ("num_elements=1000&access_token=&nothing_known=1&id=", &[12, 10001, 10002, 10009, 23784, 30001]),
    ] {
        assert_eq!(listed(&provider, query).await, ids, "{query}");
    }
    let page = provider.get("/segment?num_elements=1000&fields=code,price").await.ok();
    assert_eq!((page["count"].as_u64(), page["num_elements"].as_u64()), (Some(6), Some(100)));
    assert_eq!(page["segments"][1], json!({"id": 10001, "code": "cars", "price": 1.5}));
    assert_eq!(page["segments"][5], json!({"id": 30001, "code": "abcd"}), "shared: no price");
    let shared = provider.get("/segment?id=30001").await.ok();
    assert_eq!(
        shared["segment"],
        json!({"id": 30001, "code": "abcd", "state": "active", "short_name": null, "member_id": 1661})
    );
    let by_path = provider.get("/segment/958?id=12").await.ok();
    assert_eq!(by_path["segment"]["id"], 12);
    // An admin sees another member's segment as its owner does.
    assert_eq!(
        kit.login("admin").await.get("/segment?member_id=77").await.ok()["segments"][0]["code"],
        "secret"
    );
    assert_eq!(provider.get("/segment?member_id=77").await.status, 403);
}

#[tokio::test]
async fn a_list_that_makes_no_sense_is_refused_by_name() {
    let kit = Kit::start().await;
    let provider = kit.login("provider").await;
    let many = (1..=10_000).map(|id| id.to_string()).collect::<Vec<_>>().join(",");
    assert_eq!(listed(&provider, &format!("id={many}&include_shared=0")).await, [12]);
    for (query, named) in [
        ("num_elements=0", "'num_elements'"),
        ("num_elements=-1", "'num_elements'"),
        ("num_elements=ten", "'num_elements'"),
        ("start_element=-1", "'start_element'"),
        ("start_element=4294967296", "'start_element'"),
        ("sort=nothing.asc", "nothing"),
        ("sort=id.up", "'sort'"),
        ("sort=piggyback_pixels", "piggyback_pixels"),
        ("sort=id;drop%20table%20segments", "'sort'"),
        ("min_nothing=1", "min_nothing"),
        ("like_id=1", "like_id"),
        (&format!("like_code={}", "_".repeat(30_000)), "'like_code'"),
        ("min_code=a", "min_code"),
        ("like_short_name=%00", "'like_short_name' must have no NUL"),
        ("short_name=a%00", "'short_name' must have no NUL"),
        ("not_code=a,%00b", "'not_code' must have no NUL"),
        ("not_nothing=1", "not_nothing"),
        ("id=x", "'id'"),
        ("id=1,,2", "'id'"),
        ("state=on", "'state'"),
        ("price=NaN", "'price'"),
        ("last_modified=yesterday", "'last_modified'"),
        ("enable_rm_piggyback=maybe", "'enable_rm_piggyback'"),
        ("piggyback_pixels=1", "piggyback_pixels"),
        ("fields=id,nothing", "nothing"),
        ("include_shared=perhaps", "'include_shared'"),
        ("member_id=x", "'member_id'"),
        (&format!("id={many},10001"), "'id' takes at most 10000 values"),
    ] {
        let answer = provider.get(&format!("/segment?{query}")).await;
        assert_eq!(answer.outcome(), (400, Some("SYNTAX".to_owned())), "{query}");
        let error = answer.response()["error"].as_str().unwrap().to_owned();
        assert!(error.contains(named), "{query}: {error}");
    }
}
