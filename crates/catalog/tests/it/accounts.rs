//! Members, logins, sharing and batch set-ups: both stores say the same after every change, and a file that is opened
//! again says what it said before.

use crate::rig::{NOON_MS, OTHER_PASSWORD, PASSWORD, SMALL, apply, open, place, shown, shown_in};
use ia_catalog::listing::{Direction, Filter, ListQuery, Test, Value};
use ia_catalog::{
    AccountChange, Accounts, BatchEdit, Catalog, CatalogError, Change, LimitsEdit, Login, LoginEdit, MEMBER,
    MemberEdit, MemoryCatalog, NewToken, PasswordHash, SharingEdit, TokenHash, TokenStore, USER, UserType,
};

trait Store: Catalog + TokenStore + Accounts {}
impl<T: Catalog + TokenStore + Accounts> Store for T {}

const ROOT: &str = r#"{"users": [{"username": "root", "password": "Correct-horse-1", "member_id": 3, "user_type": "admin"}]}"#;

fn all() -> ListQuery {
    ListQuery { num_elements: 1000, ..ListQuery::default() }
}

async fn login(store: &dyn Store, name: &str) -> Login {
    store.login_by_name(name).await.unwrap().unwrap().login
}

/// All that a store says. Passwords are told apart by what opens them, since each hash has its own salt.
async fn everything(store: &dyn Store) -> String {
    let root = login(store, "root").await;
    let mut text = shown(store).await;
    // What a catalog file changed has no time in memory.
    let without_times = |text: String| {
        let parts = text
            .split("last_modified_ms: ")
            .map(|part| part.split_once(&[',', ' '][..]).map_or(part, |p| p.1));
        parts.collect::<Vec<_>>().join("")
    };
    text += &without_times(format!("{:?}", store.list_members(&root, &all()).await.unwrap()));
    text += &without_times(format!("{:?}", store.list_logins(&root, &all()).await.unwrap()));
    text += &without_times(format!("{:?}", store.list_sharing(&root, &all()).await.unwrap()));
    let mut tokens: Vec<String> = store
        .load_tokens()
        .await
        .unwrap()
        .iter()
        .map(|token| format!("{:?} {} {}", token.login, token.revoked, token.active))
        .collect();
    tokens.sort();
    text += &format!("{tokens:?} {}", store.generation().await.unwrap());
    text
}

fn edit_login(id: u32, edit: LoginEdit) -> AccountChange {
    AccountChange::EditLogins(vec![(id, edit)])
}

fn edit_sharing(id: u32, edit: SharingEdit) -> AccountChange {
    AccountChange::EditSharing(vec![(id, edit)])
}

fn share(owner: u32, viewer: u32, segments: Option<Vec<u32>>) -> SharingEdit {
    SharingEdit {
        data_member: Some(owner),
        buyer_member: Some(viewer),
        all: Some(segments.is_none()),
        segments,
        ..SharingEdit::default()
    }
}

/// Changes in the name of a login, good ones and such that are refused.
fn script(hash: &PasswordHash) -> Vec<(&'static str, AccountChange, bool)> {
    let named = |name: &str| MemberEdit { name: Some(name.into()), ..MemberEdit::default() };
    let new_login = |name: &str| LoginEdit {
        username: Some(name.into()),
        password_hash: Some(hash.clone()),
        member: Some(2),
        ..LoginEdit::default()
    };
    let limits = LimitsEdit { posts_per_second: Change::Set(9), ..LimitsEdit::default() };
    let second = MemberEdit { id: Some(20), active: Some(false), limits, ..named("Second") };
    let set_up = BatchEdit {
        segment_access: Some(vec![1, 3]),
        default_expiration: Change::Set(5),
        daily_byte_limit: Change::Set(1 << 40),
        separators: [None, None, None, Some("\t".into()), None],
        ..BatchEdit::default()
    };
    vec![
        ("root", AccountChange::CreateMembers(vec![named("First"), second]), true),
        ("root", AccountChange::CreateMembers(vec![named("Third"), named("")]), false),
        (
            "ann",
            AccountChange::EditMembers(vec![(
                1,
                MemberEdit { default_expiration: Change::Clear, ..MemberEdit::default() },
            )]),
            true,
        ),
        ("ann", AccountChange::EditMembers(vec![(1, named("Mine"))]), false),
        ("root", AccountChange::CreateLogins(vec![new_login("Bob"), new_login("eve")]), true),
        ("root", AccountChange::CreateLogins(vec![new_login("carl"), new_login("BOB")]), false),
        // A new name is found, and the old one is not.
        (
            "root",
            edit_login(
                3,
                LoginEdit {
                    username: Some("Robert".into()),
                    email: Change::Set("b@x.example".into()),
                    ..LoginEdit::default()
                },
            ),
            true,
        ),
        (
            "root",
            edit_login(3, LoginEdit { member: Some(1), read_only: Some(true), ..LoginEdit::default() }),
            true,
        ),
        ("root", AccountChange::DeleteLogins(vec![4, 99]), false),
        ("root", AccountChange::DeleteLogins(vec![4]), true),
        ("root", AccountChange::CreateLogins(vec![new_login("eve")]), true),
        (
            "root",
            edit_login(1, LoginEdit { password_hash: Some(hash.clone()), ..LoginEdit::default() }),
            true,
        ),
        (
            "ann",
            AccountChange::CreateSharing(vec![share(1, 3, Some(vec![11, 13])), share(1, 20, None)]),
            true,
        ),
        ("ann", AccountChange::CreateSharing(vec![share(1, 2, None)]), false),
        (
            "ann",
            edit_sharing(2, SharingEdit { segments: Some(vec![12]), append: true, ..SharingEdit::default() }),
            true,
        ),
        (
            "ann",
            edit_sharing(
                3,
                SharingEdit { all: Some(false), segments: Some(vec![]), ..SharingEdit::default() },
            ),
            true,
        ),
        ("ann", AccountChange::DeleteSharing(vec![3]), true),
        ("ann", AccountChange::CreateSharing(vec![share(1, 20, None)]), true),
        ("root", AccountChange::CreateBatch(vec![(2, set_up.clone())]), true),
        ("root", AccountChange::CreateBatch(vec![(2, set_up)]), false),
        (
            "root",
            AccountChange::EditBatch(vec![(
                2,
                BatchEdit { segment_access: Some(vec![]), ..BatchEdit::default() },
            )]),
            true,
        ),
        // Nothing that changes nothing is a change.
        ("root", AccountChange::EditBatch(vec![(2, BatchEdit::default())]), true),
        ("root", edit_login(2, LoginEdit { active: Some(false), ..LoginEdit::default() }), false),
    ]
}

async fn prepare(store: &dyn Store) {
    apply(store, SMALL).await;
    apply(store, ROOT).await;
    for name in ["ann", "root"] {
        let stored = store.login_by_name(name).await.unwrap().unwrap();
        let token = NewToken {
            hash: TokenHash::of(name),
            user_id: stored.login.user_id,
            password_hash: stored.password_hash,
            issued_at_ms: NOON_MS,
            public_key: None,
        };
        store.insert_token(&token).await.unwrap();
    }
}

#[tokio::test]
async fn both_stores_say_the_same_after_every_change() {
    let (_directory, path) = place();
    let memory = MemoryCatalog::new();
    let sqlite = open(&path).await;
    let hash = PasswordHash::new(OTHER_PASSWORD).unwrap();
    prepare(&memory).await;
    prepare(&sqlite).await;
    let mut now_ms = NOON_MS;
    for (step, (by, change, succeeds)) in script(&hash).into_iter().enumerate() {
        now_ms += 1000;
        let before = everything(&sqlite).await;
        let mut outcomes = Vec::new();
        for store in [&memory as &dyn Store, &sqlite] {
            let by = login(store, by).await;
            let snapshot = store.snapshot().await.unwrap();
            let outcome = store.change_accounts(&change, &by, now_ms).await;
            // What is laid over a snapshot is what is read anew; without a change there is nothing to lay.
            if let Ok(changed) = &outcome {
                let after = snapshot.after(changed.generation, &changed.delta);
                assert_eq!(after.is_some(), changed.generation > snapshot.generation(), "{step} {change:?}");
                let after = after.unwrap_or(snapshot);
                assert_eq!(shown_in(&after), shown(store).await, "{step} {change:?}");
                assert_eq!(after.generation(), store.generation().await.unwrap());
            }
            outcomes.push(outcome.map(|changed| changed.value).map_err(|error| error.to_string()));
        }
        assert_eq!(outcomes[0], outcomes[1], "{step} {change:?}");
        assert_eq!(outcomes[0].is_ok(), succeeds, "{step} {change:?} {:?}", outcomes[0]);
        let after = everything(&sqlite).await;
        assert_eq!(everything(&memory).await, after, "{step} {change:?}");
        assert!(succeeds || before == after, "{step} {change:?}");
    }
    let after = everything(&sqlite).await;
    sqlite.close().await;
    assert_eq!(everything(&open(&path).await).await, after, "opened again");
    // The files have what the list has: the renamed login, the new password, the deleted one's id.
    let sqlite = open(&path).await;
    assert!(sqlite.login_by_name("bob").await.unwrap().is_none());
    assert_eq!(login(&sqlite, "robert").await.user_id, 3);
    assert_eq!(login(&sqlite, "eve").await.user_id, 5);
    assert!(sqlite.login_by_name("ann").await.unwrap().unwrap().password_hash.verify(OTHER_PASSWORD));
    assert!(!sqlite.login_by_name("ann").await.unwrap().unwrap().password_hash.verify(PASSWORD));
}

#[tokio::test]
async fn what_a_caller_may_do_is_what_it_may_do_now() {
    let (_directory, path) = place();
    let store = open(&path).await;
    prepare(&store).await;
    // What a token said a moment ago.
    let (root, ann) = (login(&store, "root").await, login(&store, "ann").await);
    let pretender = Login { user_type: UserType::Admin, member: root.member, ..ann.clone() };
    let new =
        AccountChange::CreateMembers(vec![MemberEdit { name: Some("X".into()), ..MemberEdit::default() }]);
    let error = store.change_accounts(&new, &pretender, NOON_MS).await.unwrap_err();
    assert!(matches!(error, CatalogError::Forbidden(_)), "{error}");
    apply(&store, r#"{"users": [{"username": "ann", "member_id": 1, "read_only": true}]}"#).await;
    let own = AccountChange::EditLogins(vec![(ann.user_id, LoginEdit::default())]);
    let error = store.change_accounts(&own, &ann, NOON_MS).await.unwrap_err();
    assert!(matches!(error, CatalogError::Forbidden(_)), "{error}");
    apply(&store, r#"{"users": [{"username": "ann", "member_id": 1, "state": "inactive"}]}"#).await;
    let error = store.change_accounts(&own, &ann, NOON_MS).await.unwrap_err();
    assert!(matches!(error, CatalogError::Overtaken(_)), "{error}");
}

#[tokio::test]
async fn a_page_is_of_what_the_caller_may_see() {
    let memory = MemoryCatalog::new();
    prepare(&memory).await;
    let (root, ann) = (login(&memory, "root").await, login(&memory, "ann").await);
    let query = ListQuery {
        filters: vec![Filter { field: MEMBER.known_field("id"), test: Test::Max(Value::from(2)) }],
        sort: vec![(MEMBER.known_field("id"), Direction::Descending)],
        ..all()
    };
    for (by, expected) in [(&root, vec![2, 1]), (&ann, vec![1])] {
        let page = memory.list_members(by, &query).await.unwrap();
        assert_eq!(page.items.iter().map(|record| record.member.id.0).collect::<Vec<_>>(), expected);
    }
    let search = ListQuery { search: Some("ROO".into()), ..all() };
    assert_eq!(memory.list_logins(&root, &search).await.unwrap().count, 1);
    assert_eq!(memory.list_logins(&ann, &search).await.unwrap().count, 0);
    assert!(USER.field("password").is_some_and(|field| field.column.is_none() && !field.searched));
}
