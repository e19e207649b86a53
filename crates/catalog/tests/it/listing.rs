//! Lists: the rules in memory, for other tests to compare with, and what each field of a resource is listed by.

use crate::rig::{NOON_MS, apply, open, place};
use ia_catalog::listing::{Direction, Field, Filter, ListQuery, Page, Resource, Test, Value};
use ia_catalog::{
    AccountChange, Accounts as _, BATCH_SEGMENT_CONFIG, Catalog as _, Login, LoginEdit, MEMBER,
    MEMBER_DATA_SHARING, MemberEdit, NewPublicKey, PUBLIC_KEY, PublicKeyStore as _, RsaKey, SharingEdit,
    SqliteCatalog, USER,
};
use std::cmp::Ordering;
use tempfile::TempDir;

/// The page of `rows` that `query` asks for. `value` gives a field of a row.
pub(crate) fn page_of<T>(
    resource: &Resource,
    mut rows: Vec<T>,
    query: &ListQuery,
    value: impl Fn(&T, &Field) -> Option<Value>,
) -> Page<T> {
    let contains = |row: &T, search: &str| {
        let mut searched = resource.fields.iter().filter(|field| field.searched);
        searched.any(|field| match value(row, field) {
            Some(Value::Text(text)) => text.contains(search),
            Some(Value::Integer(number)) => number.to_string().contains(search),
            _ => false,
        })
    };
    rows.retain(|row| {
        query.filters.iter().all(|filter| passes(&filter.test, value(row, filter.field)))
            && query.search.as_ref().is_none_or(|search| contains(row, &search.to_ascii_lowercase()))
    });
    let by_id = (&resource.fields[0], query.sort.last().map_or(Direction::Ascending, |sort| sort.1));
    rows.sort_by(|one, other| {
        let mut orders = query.sort.iter().copied().chain([by_id]).map(|(field, direction)| {
            let order = match (value(one, field), value(other, field)) {
                (Some(one), Some(other)) => compare(&one, &other),
                (one, other) => one.is_some().cmp(&other.is_some()),
            };
            if direction == Direction::Descending { order.reverse() } else { order }
        });
        orders.find(|order| order.is_ne()).unwrap_or(Ordering::Equal)
    });
    let count = rows.len() as u64;
    let page = rows.into_iter().skip(query.start_element as usize).take(query.num_elements as usize);
    Page { items: page.collect(), count }
}

fn passes(test: &Test, value: Option<Value>) -> bool {
    let Some(value) = value else {
        return matches!(test, Test::NotIn(_) | Test::NullOrMin(_) | Test::NullOrMax(_));
    };
    match test {
        Test::In(values) => values.contains(&value),
        Test::NotIn(values) => !values.contains(&value),
        Test::Min(bound) | Test::NullOrMin(bound) => compare(&value, bound).is_ge(),
        Test::Max(bound) | Test::NullOrMax(bound) => compare(&value, bound).is_le(),
        Test::Like(pattern) => {
            matches!(value, Value::Text(text) if is_like(&text, &pattern.to_ascii_lowercase()))
        }
    }
}

/// Values of one field are of one kind.
fn compare(one: &Value, other: &Value) -> Ordering {
    match (one, other) {
        (Value::Text(one), Value::Text(other)) => one.cmp(other),
        (Value::Integer(one), Value::Integer(other)) => one.cmp(other),
        (Value::Decimal(one), Value::Decimal(other)) => one.total_cmp(other),
        (Value::Flag(one), Value::Flag(other)) => one.cmp(other),
        mixed => panic!("{mixed:?}"),
    }
}

fn is_like(text: &str, pattern: &str) -> bool {
    let Some((first, rest)) = pattern.split_once('%') else { return text.contains(pattern) };
    let Some(mut text) = text.strip_prefix(first) else { return false };
    let (middle, last) = rest.rsplit_once('%').unwrap_or(("", rest));
    for part in middle.split('%') {
        let Some(at) = text.find(part) else { return false };
        text = &text[at + part.len()..];
    }
    text.ends_with(last)
}

const FILE: &str = r#"{
    "members": [
        {"id": 1, "name": "beta", "default_expiration": 7},
        {"id": 2, "name": "Alpha", "state": "inactive", "use_external_uids": true, "external_member_uid": 3},
        {"id": 3, "name": "ALPHA_2", "default_expiration": 5, "external_member_uid": 1}
    ],
    "users": [
        {"username": "Root", "password": "Correct-horse-1", "member_id": 1, "user_type": "admin"},
        {"username": "ann", "password": "Correct-horse-1", "member_id": 3},
        {"username": "Bob", "password": "Correct-horse-1", "member_id": 2, "state": "inactive", "read_only": true}
    ],
    "sharing": [
        {"data_member_id": 1, "buyer_member_id": 2, "segment_exposure": "list", "segments": []},
        {"data_member_id": 3, "buyer_member_id": 1, "segment_exposure": "all"},
        {"data_member_id": 2, "buyer_member_id": 3, "segment_exposure": "all"}
    ]
}"#;

/// A store with three objects of each kind, which were changed in the order 3, 1, 2.
struct Three {
    store: SqliteCatalog,
    root: Login,
    _directory: TempDir,
}

impl Three {
    async fn new() -> Three {
        let (directory, path) = place();
        let store = open(&path).await;
        apply(&store, FILE).await;
        let root = store.login_by_name("root").await.unwrap().unwrap().login;
        for (order, id) in (1u64..).zip([3, 1, 2]) {
            let limits = ia_catalog::LimitsEdit {
                users_per_second: ia_catalog::Change::Set(id),
                ..ia_catalog::LimitsEdit::default()
            };
            let email = ia_catalog::Change::Set(format!("{}@x.example", ["b", "C", "a"][id as usize - 1]));
            let mut login = LoginEdit { email, ..LoginEdit::default() };
            if id > 1 {
                login.first_name = ia_catalog::Change::Set(format!("F{id}"));
                login.last_name = ia_catalog::Change::Set(format!("l{}", 9 - id));
            }
            let sharing =
                SharingEdit { all: Some(id == 1), segments: Some(vec![]), ..SharingEdit::default() };
            for change in [
                AccountChange::EditMembers(vec![(id, MemberEdit { limits, ..MemberEdit::default() })]),
                AccountChange::EditLogins(vec![(id, login)]),
                AccountChange::EditSharing(vec![(id, sharing)]),
            ] {
                // Within a second, so that what is shown is the same for none of them.
                store.change_accounts(&change, &root, NOON_MS + order * 1000 + 999).await.unwrap();
            }
        }
        for (name, user_id, active) in [("Two", 2, true), ("one", 2, false), ("Three", 1, true)] {
            let key = RsaKey::of_nobody();
            let new = NewPublicKey {
                user_id,
                name: name.to_owned(),
                active,
                key,
                now_ms: NOON_MS - u64::from(user_id),
            };
            store.create_public_key(&new).await.unwrap();
        }
        Three { store, root, _directory: directory }
    }

    async fn ids(&self, by: &Login, resource: &Resource, query: &ListQuery) -> Vec<u32> {
        let Three { store, .. } = self;
        let (count, ids): (u64, Vec<u32>) = match resource.singular {
            "member" => {
                let Page { items, count } = store.list_members(by, query).await.unwrap();
                (count, items.iter().map(|record| record.member.id.0).collect())
            }
            "batch_segment_config" => {
                let Page { items, count } = store.list_batch(by, query).await.unwrap();
                (count, items.iter().map(|record| record.member.id.0).collect())
            }
            "user" => {
                let Page { items, count } = store.list_logins(by, query).await.unwrap();
                (count, items.iter().map(|record| record.login.user_id).collect())
            }
            "member_data_sharing" => {
                let Page { items, count } = store.list_sharing(by, query).await.unwrap();
                (count, items.iter().map(|record| record.id).collect())
            }
            _ => {
                let Page { items, count } = store.public_keys(None, query).await.unwrap();
                (count, items.iter().map(|key| key.id).collect())
            }
        };
        assert_eq!(count, ids.len() as u64);
        ids
    }
}

fn all() -> ListQuery {
    ListQuery { num_elements: 100, ..ListQuery::default() }
}

/// A field, and the ids in the order of its values.
type Order = (&'static str, [u32; 3]);

#[tokio::test]
async fn each_field_is_sorted_by_its_own_value() {
    let three = Three::new().await;
    let orders: &[(&Resource, &[Order])] = &[
        (
            &MEMBER,
            &[
                ("id", [1, 2, 3]),
                ("name", [2, 3, 1]),
                ("state", [1, 3, 2]),
                ("default_expiration", [2, 3, 1]),
                ("use_external_uids", [1, 3, 2]),
                ("external_member_uid", [1, 3, 2]),
                ("last_modified", [3, 1, 2]),
            ],
        ),
        (
            &BATCH_SEGMENT_CONFIG,
            &[
                ("id", [1, 2, 3]),
                ("member_id", [1, 2, 3]),
                ("default_expiration", [2, 3, 1]),
                ("use_external_uids", [1, 3, 2]),
                ("external_member_uid", [1, 3, 2]),
                ("last_modified", [3, 1, 2]),
            ],
        ),
        (
            &USER,
            &[
                ("id", [1, 2, 3]),
                ("username", [2, 3, 1]),
                ("email", [3, 1, 2]),
                ("first_name", [1, 2, 3]),
                ("last_name", [1, 3, 2]),
                ("state", [1, 2, 3]),
                ("user_type", [1, 2, 3]),
                ("read_only", [1, 2, 3]),
                ("entity_id", [1, 3, 2]),
                ("last_modified", [3, 1, 2]),
            ],
        ),
        (
            &MEMBER_DATA_SHARING,
            &[
                ("id", [1, 2, 3]),
                ("data_member_id", [1, 3, 2]),
                ("buyer_member_id", [2, 1, 3]),
                ("segment_exposure", [1, 2, 3]),
                ("last_modified", [3, 1, 2]),
            ],
        ),
        (
            &PUBLIC_KEY,
            &[
                ("id", [1, 2, 3]),
                ("active", [2, 1, 3]),
                ("name", [2, 3, 1]),
                ("user_id", [3, 1, 2]),
                ("created_on", [1, 2, 3]),
            ],
        ),
    ];
    for (resource, fields) in orders {
        let listed = resource.fields.iter().filter(|field| field.column.is_some()).map(|field| field.name);
        assert_eq!(listed.collect::<Vec<_>>(), fields.iter().map(|(name, _)| *name).collect::<Vec<_>>());
        for &(name, ascending) in *fields {
            let field = resource.field(name).unwrap();
            for direction in [Direction::Ascending, Direction::Descending] {
                let mut expected = ascending;
                if direction == Direction::Descending {
                    expected.reverse();
                }
                let query = ListQuery { sort: vec![(field, direction)], ..all() };
                let found = three.ids(&three.root, resource, &query).await;
                assert_eq!(found, expected, "{} {name} {direction:?}", resource.singular);
            }
        }
    }
}

#[tokio::test]
async fn filters_and_searches_go_by_what_is_shown() {
    let three = Three::new().await;
    let noon = NOON_MS as i64;
    let cases: &[(&'static Resource, &'static str, Test, &[u32])] = &[
        (&MEMBER, "name", Test::In(vec!["ALPHA".into()]), &[2]),
        (&MEMBER, "name", Test::Like("a_2".into()), &[3]),
        (&MEMBER, "last_modified", Test::In(vec![Value::Integer(noon + 1000)]), &[3]),
        (&MEMBER, "last_modified", Test::Max(Value::Integer(noon + 2000)), &[1, 3]),
        (&MEMBER, "default_expiration", Test::NotIn(vec![5u32.into()]), &[1, 2]),
        (&MEMBER, "default_expiration", Test::NullOrMax(5u32.into()), &[2, 3]),
        (&MEMBER, "use_external_uids", Test::In(vec![true.into()]), &[2]),
        (&USER, "entity_id", Test::In(vec![3u32.into()]), &[2]),
        (&USER, "state", Test::In(vec!["inactive".into()]), &[3]),
        (&USER, "first_name", Test::NotIn(vec!["f2".into()]), &[1, 3]),
        (&BATCH_SEGMENT_CONFIG, "member_id", Test::Min(2u32.into()), &[2, 3]),
        (&MEMBER_DATA_SHARING, "segment_exposure", Test::In(vec!["list".into()]), &[2, 3]),
        (&PUBLIC_KEY, "name", Test::In(vec!["TWO".into()]), &[1]),
    ];
    for (resource, name, test, expected) in cases {
        let filter = Filter { field: resource.field(name).unwrap(), test: test.clone() };
        let query = ListQuery { filters: vec![filter], ..all() };
        assert_eq!(three.ids(&three.root, resource, &query).await, *expected, "{name} {test:?}");
    }
    for (resource, search, expected) in [
        (&MEMBER, "LPHA", &[2, 3][..]),
        (&MEMBER, "a_", &[3]),
        (&MEMBER, "%", &[]),
        (&MEMBER, "2", &[2, 3]),
        (&USER, "F3", &[3]),
        (&USER, "@X.", &[1, 2, 3]),
        (&MEMBER_DATA_SHARING, "3", &[3]),
        (&MEMBER_DATA_SHARING, "a", &[]),
        (&BATCH_SEGMENT_CONFIG, "1", &[1]),
        (&PUBLIC_KEY, "T", &[1, 3]),
        (&USER, &"x".repeat(100_000), &[]),
        (&USER, "ann\0", &[]),
    ] {
        let query = ListQuery { search: Some(search.to_owned()), ..all() };
        assert_eq!(
            three.ids(&three.root, resource, &query).await,
            expected,
            "{} {search}",
            resource.singular
        );
    }
    let page = ListQuery { start_element: 1, num_elements: 1, ..all() };
    let page = three.store.list_members(&three.root, &page).await.unwrap();
    assert_eq!((page.count, page.items[0].member.id.0), (3, 2));
    assert!(USER.field("password").is_some_and(|field| field.column.is_none() && !field.searched));
}

#[tokio::test]
async fn a_page_is_of_what_the_caller_may_see() {
    let three = Three::new().await;
    let ann = three.store.login_by_name("ann").await.unwrap().unwrap().login;
    for (resource, expected) in
        [(&MEMBER, &[3][..]), (&BATCH_SEGMENT_CONFIG, &[]), (&USER, &[2]), (&MEMBER_DATA_SHARING, &[2, 3])]
    {
        assert_eq!(three.ids(&ann, resource, &all()).await, expected, "{}", resource.singular);
        let query = ListQuery { search: Some("1".into()), ..all() };
        assert!(three.ids(&ann, resource, &query).await.is_empty(), "{}", resource.singular);
    }
    assert_eq!(three.store.public_keys(Some(2), &all()).await.unwrap().count, 2);
}
