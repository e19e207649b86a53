//! Members, logins, sharing and batch set-ups: what a change does, and that a file which is opened again says the same.

use crate::rig::{NOON_MS, OTHER_PASSWORD, PASSWORD, SMALL, apply, open, place, shown, shown_in};
use ia_catalog::listing::ListQuery;
use ia_catalog::{
    AccountChange, Accounts, BatchEdit, Catalog, CatalogError, Change, LimitsEdit, Login, LoginEdit,
    MemberEdit, NewToken, PasswordHash, SharingEdit, TokenHash, TokenStore, UserType,
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
    text += &format!("{:?}", store.list_members(&root, &all()).await.unwrap());
    text += &format!("{:?}", store.list_logins(&root, &all()).await.unwrap());
    text += &format!("{:?}", store.list_sharing(&root, &all()).await.unwrap());
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
    let redirect_hosts = Change::Set(vec!["*.b.example:8443".into(), "a.example".into()]);
    let second = MemberEdit { id: Some(20), active: Some(false), limits, redirect_hosts, ..named("Second") };
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

/// Whether the same change, made again, finds nothing to do.
fn is_the_same_when_repeated(change: &AccountChange) -> bool {
    use AccountChange::{EditBatch, EditLogins, EditMembers, EditSharing};

    matches!(change, EditBatch(_) | EditLogins(_) | EditMembers(_) | EditSharing(_))
}

#[tokio::test]
async fn each_change_is_stored_whole_or_not_at_all() {
    let (_directory, path) = place();
    let store = open(&path).await;
    let hash = PasswordHash::new(OTHER_PASSWORD).unwrap();
    prepare(&store).await;
    let mut now_ms = NOON_MS;
    for (step, (by, change, succeeds)) in script(&hash).into_iter().enumerate() {
        now_ms += 1000;
        let before = everything(&store).await;
        let by = login(&store, by).await;
        let snapshot = store.snapshot().await.unwrap();
        let outcome = store.change_accounts(&change, &by, now_ms).await;
        assert_eq!(outcome.is_ok(), succeeds, "{step} {change:?} {outcome:?}");
        let Ok(changed) = outcome else {
            assert_eq!(everything(&store).await, before, "{step} {change:?}");
            continue;
        };
        // What is laid over a snapshot is what is read anew; without a change there is nothing to lay.
        let after = snapshot.after(changed.generation, &changed.delta);
        assert_eq!(after.is_some(), changed.generation > snapshot.generation(), "{step} {change:?}");
        let after = after.unwrap_or(snapshot);
        assert_eq!(shown_in(&after), shown(&store).await, "{step} {change:?}");
        assert_eq!(after.generation(), store.generation().await.unwrap());
        // Every field was stored, since the change made again finds it.
        if is_the_same_when_repeated(&change) {
            let again = store.change_accounts(&change, &by, now_ms + 500).await.unwrap();
            assert_eq!(again.generation, changed.generation, "{step} {change:?}");
        }
    }
    let after = everything(&store).await;
    store.close().await;
    let store = open(&path).await;
    assert_eq!(everything(&store).await, after, "opened again");
    // The tables have what the lists have: the renamed login, the new password, the deleted one's id.
    assert!(store.login_by_name("bob").await.unwrap().is_none());
    assert_eq!(login(&store, "robert").await.user_id, 3);
    assert_eq!(login(&store, "eve").await.user_id, 5);
    assert!(store.login_by_name("ann").await.unwrap().unwrap().password_hash.verify(OTHER_PASSWORD));
    assert!(!store.login_by_name("ann").await.unwrap().unwrap().password_hash.verify(PASSWORD));
    let tokens = store.load_tokens().await.unwrap();
    let of_ann = tokens.iter().find(|token| token.hash == TokenHash::of("ann")).unwrap();
    assert!(of_ann.revoked && tokens.iter().filter(|token| token.revoked).count() == 1, "{tokens:?}");
}

#[tokio::test]
async fn new_objects_have_all_that_was_said_of_them() {
    let (_directory, path) = place();
    let store = open(&path).await;
    prepare(&store).await;
    for (by, change, succeeds) in script(&PasswordHash::new(OTHER_PASSWORD).unwrap()) {
        let by = login(&store, by).await;
        assert_eq!(store.change_accounts(&change, &by, NOON_MS).await.is_ok(), succeeds);
    }
    let root = login(&store, "root").await;
    let members = store.list_members(&root, &all()).await.unwrap().items;
    let ids: Vec<u32> = members.iter().map(|record| record.member.id.0).collect();
    assert_eq!(ids, [1, 2, 3, 4, 20]);
    let [data, buyer, _, first, second] = &members[..] else { unreachable!() };
    assert_eq!((data.member.default_expiration, &*first.member.name), (None, "First"));
    assert_eq!((&*second.member.name, second.member.active), ("Second", false));
    assert_eq!((second.member.limits.posts_per_second, second.last_modified_ms), (Some(9), Some(NOON_MS)));
    assert_eq!((buyer.member.default_expiration, buyer.segment_access.len()), (Some(5), 0));
    let batch = buyer.batch.as_ref().unwrap();
    assert_eq!((&*batch.separators[3], batch.daily_byte_limit), ("\t", Some(1 << 40)));
    assert_eq!(batch.last_modified_ms, NOON_MS);
    let logins = store.list_logins(&root, &all()).await.unwrap().items;
    let robert = logins.iter().find(|record| record.login.user_id == 3).unwrap();
    assert_eq!((&*robert.login.username, robert.login.member.0, robert.login.read_only), ("Robert", 1, true));
    assert_eq!((robert.email.as_deref(), &robert.first_name), (Some("b@x.example"), &None));
    let sharing = store.list_sharing(&root, &all()).await.unwrap().items;
    let listed = |index: usize| {
        let segments = sharing[index].segments.as_ref()?;
        Some(segments.iter().map(|(id, name)| (id.0, name.as_deref())).collect::<Vec<_>>())
    };
    let pairs: Vec<_> = sharing.iter().map(|row| (row.id, row.data_member.0, row.buyer_member.0)).collect();
    assert_eq!(pairs, [(1, 1, 2), (2, 1, 3), (4, 1, 20)]);
    assert_eq!(listed(0), Some(vec![(11, Some("Sports fans"))]));
    assert_eq!(listed(1), Some(vec![(11, Some("Sports fans")), (12, None), (13, None)]));
    assert_eq!(listed(2), None);
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
