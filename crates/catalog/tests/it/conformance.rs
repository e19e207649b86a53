//! What every store of the catalog must do.

mod ids_and_keys;

use self::ids_and_keys::*;
use crate::rig::{self, NOON_MS, OTHER_PASSWORD, PASSWORD, Rig, SMALL, ann, apply, refused, shown};
use ia_catalog::listing::ListQuery;
use ia_catalog::{CatalogError, MAX_PUBLIC_KEYS, NewPublicKey, NewToken, RsaKey, TokenHash, UserType};
use ia_model::{MemberId, SegmentId};

/// Runs each of these functions over every store.
macro_rules! over_each {
    ($($name:ident),* $(,)?) => {
        mod sqlite {
            $(#[tokio::test] async fn $name() { super::$name(crate::rig::sqlite().await).await; })*
        }
    };
}

over_each!(
    an_empty_catalog_knows_nothing,
    a_snapshot_shows_what_was_applied,
    codes_match_in_any_case_and_only_for_their_owner,
    access_and_sharing_are_for_those_named,
    applying_again_changes_nothing,
    what_a_file_does_not_say_stays,
    null_empties_a_field,
    lists_are_replaced,
    a_list_needs_no_repeating,
    codes_can_be_swapped,
    a_deleted_segment_is_gone_and_its_id_with_it,
    a_code_is_free_after_its_segment,
    a_deleted_segment_leaves_the_lists,
    what_does_not_fit_changes_nothing,
    logins_are_found_in_any_case,
    logins_get_new_ids,
    a_login_of_a_switched_off_member_is_off,
    the_generation_rises_with_changes_only,
    tokens_are_kept_with_their_logins,
    a_token_is_not_kept_for_an_old_password,
    a_last_use_never_goes_back,
    known_users_keep_their_positions,
    public_keys_belong_to_logins,
    a_key_that_goes_takes_its_tokens_along,
);

async fn an_empty_catalog_knows_nothing(rig: Rig) {
    let snapshot = rig.store.snapshot().await.unwrap();
    assert_eq!(snapshot.generation(), rig.store.generation().await.unwrap());
    assert!(snapshot.segments().is_empty());
    assert!(snapshot.member(MemberId(1)).is_none());
    assert!(snapshot.segment_by_code(MemberId(1), "").is_none());
    assert!(rig.store.login_by_name("ann").await.unwrap().is_none());
    assert!(rig.store.load_tokens().await.unwrap().is_empty());
}

async fn a_snapshot_shows_what_was_applied(rig: Rig) {
    let report = apply(&*rig.store, SMALL).await;
    assert_eq!(
        report.to_string(),
        "members: 3 created, 0 changed, 0 unchanged\nusers: 1 created, 0 changed, 0 unchanged\n\
         segments: 3 created, 0 changed, 0 unchanged\nsharing: 1 created, 0 changed, 0 unchanged"
    );
    let snapshot = rig.store.snapshot().await.unwrap();
    let sports = snapshot.segment(SegmentId(11)).unwrap();
    assert_eq!(
        (sports.member, sports.code.as_deref(), sports.active, sports.expire_minutes),
        (MemberId(1), Some("Sports"), true, Some(60))
    );
    let news = snapshot.segment(SegmentId(12)).unwrap();
    assert_eq!((news.active, news.expire_minutes), (false, None));
    assert_eq!(snapshot.segment(SegmentId(13)).unwrap().code, None);
    assert!(snapshot.segment(SegmentId(14)).is_none());

    let data = snapshot.member(MemberId(1)).unwrap();
    assert_eq!((&*data.name, data.active, data.default_expiration), ("Data", true, Some(1440)));
    assert_eq!((data.limits.posts_per_second, data.limits.gets_per_second), (Some(5), None));
    assert_eq!((data.use_external_uids, data.external_member_uid), (false, None));
    assert!(snapshot.member(MemberId(4)).is_none());
}

async fn codes_match_in_any_case_and_only_for_their_owner(rig: Rig) {
    apply(&*rig.store, SMALL).await;
    let snapshot = rig.store.snapshot().await.unwrap();
    for code in ["sports", "SPORTS", "Sports", "sPORTS"] {
        assert_eq!(snapshot.segment_by_code(MemberId(1), code).unwrap().id, SegmentId(11), "{code}");
        assert!(snapshot.segment_by_code(MemberId(2), code).is_none(), "{code}");
    }
    for code in ["", "sport", "sportss", "ſports", "sports "] {
        assert!(snapshot.segment_by_code(MemberId(1), code).is_none(), "{code:?}");
    }
}

async fn access_and_sharing_are_for_those_named(rig: Rig) {
    apply(&*rig.store, SMALL).await;
    let snapshot = rig.store.snapshot().await.unwrap();
    let (data, buyer, stranger) = (MemberId(1), MemberId(2), MemberId(3));
    assert!(snapshot.may_write(data, data));
    assert!(snapshot.may_write(buyer, data));
    assert!(!snapshot.may_write(data, buyer), "access goes one way");
    assert!(!snapshot.may_write(stranger, data));

    let (sports, news) = (snapshot.segment(SegmentId(11)).unwrap(), snapshot.segment(SegmentId(12)).unwrap());
    assert!(snapshot.may_see(data, sports) && snapshot.may_see(data, news));
    assert!(snapshot.may_see(buyer, sports));
    assert!(!snapshot.may_see(buyer, news), "only what is listed is shared");
    assert!(!snapshot.may_see(stranger, sports));

    let all = r#"{"sharing": [{"data_member_id": 1, "buyer_member_id": 2, "segment_exposure": "all"}]}"#;
    apply(&*rig.store, all).await;
    let snapshot = rig.store.snapshot().await.unwrap();
    assert!(snapshot.may_see(buyer, snapshot.segment(SegmentId(12)).unwrap()));
    assert!(!snapshot.may_see(stranger, snapshot.segment(SegmentId(12)).unwrap()));
}

async fn applying_again_changes_nothing(rig: Rig) {
    apply(&*rig.store, SMALL).await;
    let (before, generation) = (shown(&*rig.store).await, rig.store.generation().await.unwrap());
    let login = ann(&*rig.store).await;
    let report = apply(&*rig.store, SMALL).await;
    assert!(!report.is_change(), "{report}");
    assert_eq!((report.members.unchanged, report.users.unchanged), (3, 1));
    assert_eq!((report.segments.unchanged, report.sharing.unchanged), (3, 1));
    assert_eq!(shown(&*rig.store).await, before);
    assert_eq!(rig.store.generation().await.unwrap(), generation);
    assert_eq!(ann(&*rig.store).await, login, "the password was not hashed anew");
}

async fn what_a_file_does_not_say_stays(rig: Rig) {
    apply(&*rig.store, SMALL).await;
    let before = shown(&*rig.store).await;
    let login = ann(&*rig.store).await;
    let report = apply(
        &*rig.store,
        r#"{"members": [{"id": 1, "name": "Data"}, {"id": 2, "name": "Buyer", "limits": {}}],
            "users": [{"username": "ANN", "member_id": 1}],
            "segments": [{"id": 11, "member_id": 1}, {"id": 12, "member_id": 1}]}"#,
    )
    .await;
    assert_eq!((report.members.unchanged, report.segments.unchanged), (2, 2), "{report}");
    assert_eq!(shown(&*rig.store).await, before);
    let after = ann(&*rig.store).await;
    assert_eq!((after.password_hash, after.active), (login.password_hash, true));
    assert_eq!(&*after.login.username, "ANN", "the spelling of a name is the file's");
}

async fn null_empties_a_field(rig: Rig) {
    apply(&*rig.store, SMALL).await;
    let report = apply(
        &*rig.store,
        r#"{"members": [{"id": 1, "name": "Data", "default_expiration": null, "limits": {"posts_per_second": null}}],
            "segments": [{"id": 11, "member_id": 1, "code": null, "expire_minutes": null}]}"#,
    )
    .await;
    assert_eq!((report.members.changed, report.segments.changed), (1, 1));
    let snapshot = rig.store.snapshot().await.unwrap();
    let data = snapshot.member(MemberId(1)).unwrap();
    assert_eq!((data.default_expiration, data.limits.posts_per_second), (None, None));
    let sports = snapshot.segment(SegmentId(11)).unwrap();
    assert_eq!((&sports.code, sports.expire_minutes), (&None, None));
    assert!(snapshot.segment_by_code(MemberId(1), "sports").is_none());
}

async fn lists_are_replaced(rig: Rig) {
    apply(&*rig.store, SMALL).await;
    apply(
        &*rig.store,
        r#"{"members": [{"id": 2, "name": "Buyer", "segment_access": [3]}],
            "sharing": [{"data_member_id": 1, "buyer_member_id": 2, "segment_exposure": "list", "segments": [12]}]}"#,
    )
    .await;
    let snapshot = rig.store.snapshot().await.unwrap();
    assert!(!snapshot.may_write(MemberId(2), MemberId(1)));
    assert!(snapshot.may_write(MemberId(2), MemberId(3)));
    assert!(!snapshot.may_see(MemberId(2), snapshot.segment(SegmentId(11)).unwrap()));
    assert!(snapshot.may_see(MemberId(2), snapshot.segment(SegmentId(12)).unwrap()));
}

async fn a_list_needs_no_repeating(rig: Rig) {
    apply(&*rig.store, SMALL).await;
    let again = r#"{"sharing": [{"data_member_id": 1, "buyer_member_id": 2, "segment_exposure": "list"}]}"#;
    assert!(!apply(&*rig.store, again).await.is_change());
    let new = r#"{"sharing": [{"data_member_id": 1, "buyer_member_id": 3, "segment_exposure": "list"}]}"#;
    assert!(refused(&*rig.store, new).await.to_string().starts_with("sharing[0].segments: "));
}

async fn codes_can_be_swapped(rig: Rig) {
    apply(&*rig.store, SMALL).await;
    let swap = r#"{"segments": [{"id": 11, "member_id": 1, "code": "NEWS"}, {"id": 12, "member_id": 1, "code": "sports"}]}"#;
    assert_eq!(apply(&*rig.store, swap).await.segments.changed, 2);
    let snapshot = rig.store.snapshot().await.unwrap();
    assert_eq!(snapshot.segment_by_code(MemberId(1), "news").unwrap().id, SegmentId(11));
    assert_eq!(snapshot.segment_by_code(MemberId(1), "sports").unwrap().id, SegmentId(12));
}

async fn a_deleted_segment_is_gone_and_its_id_with_it(rig: Rig) {
    apply(&*rig.store, SMALL).await;
    rig.store.delete_segment(SegmentId(11)).await.unwrap();
    let snapshot = rig.store.snapshot().await.unwrap();
    assert!(snapshot.segment(SegmentId(11)).is_none());
    assert!(snapshot.segment_by_code(MemberId(1), "sports").is_none());

    for owner in [1, 3] {
        let again = format!(r#"{{"segments": [{{"id": 11, "member_id": {owner}}}]}}"#);
        let error = refused(&*rig.store, &again).await;
        assert!(matches!(&error, CatalogError::Conflict { path, .. } if path == "segments[0].id"), "{error}");
    }
    let list = r#"{"sharing": [{"data_member_id": 1, "buyer_member_id": 3, "segment_exposure": "list", "segments": [12, 11]}]}"#;
    assert!(refused(&*rig.store, list).await.to_string().starts_with("sharing[0].segments[1]: "));
    for id in [11, 99] {
        let error = rig.store.delete_segment(SegmentId(id)).await.unwrap_err();
        assert_eq!(error.to_string(), format!("segment {id} does not exist"));
    }
}

async fn a_deleted_segment_leaves_the_lists(rig: Rig) {
    apply(&*rig.store, SMALL).await;
    let list = |ids: &str| {
        format!(
            r#"{{"sharing": [{{"data_member_id": 1, "buyer_member_id": 2, "segment_exposure": "list", "segments": {ids}}}]}}"#
        )
    };
    apply(&*rig.store, &list("[11, 12]")).await;
    rig.store.delete_segment(SegmentId(11)).await.unwrap();
    assert!(!apply(&*rig.store, &list("[12]")).await.is_change(), "only 12 was left");
}

async fn a_code_is_free_after_its_segment(rig: Rig) {
    apply(&*rig.store, SMALL).await;
    rig.store.delete_segment(SegmentId(11)).await.unwrap();
    apply(&*rig.store, r#"{"segments": [{"id": 14, "member_id": 1, "code": "sports"}]}"#).await;
    let snapshot = rig.store.snapshot().await.unwrap();
    assert_eq!(snapshot.segment_by_code(MemberId(1), "Sports").unwrap().id, SegmentId(14));
}

async fn what_does_not_fit_changes_nothing(rig: Rig) {
    apply(&*rig.store, SMALL).await;
    let (before, generation) = (shown(&*rig.store).await, rig.store.generation().await.unwrap());
    // Each has a sound part before the fault: that must not get in either.
    let cases = [
        (r#""segments": [{"id": 20, "member_id": 9}]"#, "segments[0].member_id: there is no member 9"),
        (
            r#""segments": [{"id": 20, "member_id": 1}, {"id": 11, "member_id": 3}]"#,
            "segments[1].member_id: segment 11 belongs to member 1",
        ),
        (
            r#""segments": [{"id": 20, "member_id": 1, "code": "SPORTS"}]"#,
            "segments[0].code: segment 11 of member 1 has this code",
        ),
        (
            r#""users": [{"username": "bob", "member_id": 1}]"#,
            "users[0].password: a new login needs a password",
        ),
        (
            r#""users": [{"username": "bob", "member_id": 8, "password": "Correct-horse-1"}]"#,
            "users[0].member_id: there is no member 8",
        ),
        (
            r#""sharing": [{"data_member_id": 1, "buyer_member_id": 7, "segment_exposure": "all"}]"#,
            "sharing[0].buyer_member_id: there is no member 7",
        ),
        (
            r#""sharing": [{"data_member_id": 3, "buyer_member_id": 1, "segment_exposure": "list", "segments": [11]}]"#,
            "sharing[0].segments[0]: member 3 has no segment 11",
        ),
    ];
    for (fault, expected) in cases {
        let text = format!(r#"{{"members": [{{"id": 4, "name": "New"}}], {fault}}}"#);
        assert_eq!(refused(&*rig.store, &text).await.to_string(), expected);
    }
    let members = [
        (r#""segment_access": [1, 9]"#, "members[0].segment_access[1]: there is no member 9"),
        (r#""external_member_uid": 9"#, "members[0].external_member_uid: there is no member 9"),
    ];
    for (fault, expected) in members {
        let text = format!(r#"{{"members": [{{"id": 4, "name": "New", {fault}}}]}}"#);
        assert_eq!(refused(&*rig.store, &text).await.to_string(), expected);
    }
    assert_eq!(shown(&*rig.store).await, before);
    assert_eq!(rig.store.generation().await.unwrap(), generation);
    assert!(rig.store.login_by_name("bob").await.unwrap().is_none());
}

async fn logins_are_found_in_any_case(rig: Rig) {
    apply(&*rig.store, SMALL).await;
    for name in ["ann", "ANN", "Ann"] {
        let found = rig.store.login_by_name(name).await.unwrap().unwrap();
        assert_eq!((&*found.login.username, found.login.member), ("Ann", MemberId(1)));
        assert_eq!((found.login.user_type, found.login.read_only), (UserType::Member, false));
        assert!(found.password_hash.verify(PASSWORD));
        assert!(!found.password_hash.verify(OTHER_PASSWORD));
    }
    assert!(rig.store.login_by_name("an").await.unwrap().is_none());
    assert!(rig.store.login_by_name("").await.unwrap().is_none());
}

async fn logins_get_new_ids(rig: Rig) {
    apply(&*rig.store, SMALL).await;
    apply(
        &*rig.store,
        r#"{"users": [
            {"username": "bob", "password": "Correct-horse-1", "member_id": 2, "user_type": "bidder"},
            {"username": "eve", "password": "Correct-horse-1", "member_id": 3, "user_type": "admin", "read_only": true}
        ]}"#,
    )
    .await;
    let mut ids = Vec::new();
    for name in ["ann", "bob", "eve"] {
        ids.push(rig.store.login_by_name(name).await.unwrap().unwrap().login.user_id);
    }
    assert_eq!(ids, [1, 2, 3]);
    let eve = rig.store.login_by_name("eve").await.unwrap().unwrap();
    assert_eq!((eve.login.user_type, eve.login.read_only), (UserType::Admin, true));
}

async fn a_login_of_a_switched_off_member_is_off(rig: Rig) {
    apply(&*rig.store, SMALL).await;
    assert!(ann(&*rig.store).await.active);
    apply(&*rig.store, r#"{"members": [{"id": 1, "name": "Data", "state": "inactive"}]}"#).await;
    assert!(!ann(&*rig.store).await.active);
    assert!(!rig.store.snapshot().await.unwrap().member(MemberId(1)).unwrap().active);
    apply(&*rig.store, r#"{"members": [{"id": 1, "name": "Data", "state": "active"}]}"#).await;
    assert!(ann(&*rig.store).await.active);
}

async fn the_generation_rises_with_changes_only(rig: Rig) {
    let mut last = rig.store.generation().await.unwrap();
    for (text, rises) in [
        (SMALL, true),
        (SMALL, false),
        (r#"{"members": [{"id": 3, "name": "Renamed"}]}"#, true),
        (r#"{"users": [{"username": "ann", "password": "Battery-staple-2", "member_id": 1}]}"#, true),
        ("{}", false),
    ] {
        apply(&*rig.store, text).await;
        let now = rig.store.generation().await.unwrap();
        assert_eq!(now > last, rises, "{text}");
        assert_eq!(rig.store.snapshot().await.unwrap().generation(), now);
        last = now;
    }
    rig.store.delete_segment(SegmentId(13)).await.unwrap();
    assert!(rig.store.generation().await.unwrap() > last);
}

fn token(rig_login: &ia_catalog::StoredLogin, text: &str) -> NewToken {
    NewToken {
        hash: TokenHash::of(text),
        user_id: rig_login.login.user_id,
        password_hash: rig_login.password_hash.clone(),
        public_key: None,
        issued_at_ms: NOON_MS,
    }
}

async fn tokens_are_kept_with_their_logins(rig: Rig) {
    apply(&*rig.store, SMALL).await;
    let login = ann(&*rig.store).await;
    assert_eq!(rig.store.insert_token(&token(&login, "one")).await.unwrap(), login.login);
    rig.store.insert_token(&token(&login, "two")).await.unwrap();
    apply(&*rig.store, r#"{"users": [{"username": "ann", "member_id": 1, "user_type": "bidder"}]}"#).await;

    rig.store.delete_tokens(&[TokenHash::of("two"), TokenHash::of("never was")]).await.unwrap();
    let stored = rig.store.load_tokens().await.unwrap();
    assert_eq!(stored.len(), 1);
    let one = &stored[0];
    assert_eq!((one.hash, one.issued_at_ms, one.last_use_ms), (TokenHash::of("one"), NOON_MS, NOON_MS));
    assert_eq!((one.login.user_type, one.active, one.revoked), (UserType::Bidder, true, false));
    // A member that was off has its tokens back no more than a login has.
    for (state, active) in [("inactive", false), ("active", true)] {
        let file = format!(r#"{{"members": [{{"id": 1, "name": "Provider", "state": "{state}"}}]}}"#);
        apply(&*rig.store, &file).await;
        let stored = rig.store.load_tokens().await.unwrap();
        assert_eq!((stored[0].active, stored[0].revoked), (active, true), "{state}");
    }
}

async fn a_token_is_not_kept_for_an_old_password(rig: Rig) {
    apply(&*rig.store, SMALL).await;
    let before = ann(&*rig.store).await;
    let changed = r#"{"users": [{"username": "ann", "password": "Battery-staple-2", "member_id": 1}]}"#;
    apply(&*rig.store, changed).await;
    let error = rig.store.insert_token(&token(&before, "late")).await.unwrap_err();
    assert!(matches!(error, CatalogError::Overtaken(_)) && error.is_retryable(), "{error}");

    let after = ann(&*rig.store).await;
    apply(&*rig.store, r#"{"users": [{"username": "ann", "member_id": 1, "state": "inactive"}]}"#).await;
    rig.store.insert_token(&token(&after, "off")).await.unwrap_err();
    assert!(rig.store.load_tokens().await.unwrap().is_empty());
}

async fn a_last_use_never_goes_back(rig: Rig) {
    apply(&*rig.store, SMALL).await;
    let login = ann(&*rig.store).await;
    rig.store.insert_token(&token(&login, "one")).await.unwrap();
    let one = TokenHash::of("one");
    let gone = TokenHash::of("gone");
    for (written, expected) in [(NOON_MS + 500, 500), (NOON_MS + 100, 500), (NOON_MS + 900, 900)] {
        rig.store.write_last_use(&[(gone, written), (one, written)]).await.unwrap();
        assert_eq!(rig.store.load_tokens().await.unwrap()[0].last_use_ms, NOON_MS + expected);
    }
    assert_eq!(rig.store.load_tokens().await.unwrap().len(), 1);
}

#[tokio::test]
async fn the_stores_are_objects() {
    let rig = rig::sqlite().await;
    let catalog: std::sync::Arc<dyn ia_catalog::Catalog> = rig.store.clone();
    let tokens: std::sync::Arc<dyn ia_catalog::TokenStore> = rig.store.clone();
    assert_eq!(catalog.generation().await.unwrap(), 0);
    assert!(tokens.load_tokens().await.unwrap().is_empty());
}
