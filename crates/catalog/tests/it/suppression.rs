//! Opt-outs.

use crate::rig::{open, place};
use ia_catalog::{SuppressedLink, SuppressedUser, SuppressionStore};
use ia_model::MemberId;

fn user(byte: u8, member: Option<u32>) -> SuppressedUser {
    SuppressedUser { hash: [byte; 16], member: member.map(MemberId) }
}

async fn keeps_what_was_not_lifted(store: &dyn SuppressionStore) {
    let key = store.suppression_key().await.unwrap();
    assert_eq!(store.suppression_key().await.unwrap(), key);
    assert_eq!(store.suppressed_users().await.unwrap(), []);
    let all = [user(1, None), user(1, Some(7)), user(2, Some(u32::MAX)), user(200, None)];
    store.suppress(&all[1..], &[]).await.unwrap();
    let link = |of: SuppressedUser, byte: u8| SuppressedLink { of, hash: [byte; 16] };
    let links = [link(all[1], 9), link(all[1], 10), link(all[2], 9)];
    store.suppress(&all, &links[..2]).await.unwrap();
    store.suppress(&[], &links).await.unwrap();
    assert_eq!(store.suppressed_users().await.unwrap(), all);
    assert_eq!(store.suppressed_links().await.unwrap(), links);
    store.lift_suppression(&[user(1, None), user(2, Some(7)), user(9, None)]).await.unwrap();
    assert_eq!(store.suppressed_users().await.unwrap(), all[1..]);
    assert_eq!(store.suppressed_links().await.unwrap(), links, "others' opt-outs are not touched");
    store.lift_suppression(&[user(1, Some(7))]).await.unwrap();
    assert_eq!(store.suppressed_links().await.unwrap(), links[2..], "an opt-out takes its ids along");
}

#[tokio::test]
async fn opt_outs_are_kept() {
    let (_directory, path) = place();
    let store = open(&path).await;
    keeps_what_was_not_lifted(&store).await;
    let (key, users) = (store.suppression_key().await.unwrap(), store.suppressed_users().await.unwrap());
    let links = store.suppressed_links().await.unwrap();
    store.close().await;
    let store = open(&path).await;
    assert_eq!(store.suppression_key().await.unwrap(), key, "hashes stay comparable");
    assert_eq!(store.suppressed_users().await.unwrap(), users);
    assert_eq!(store.suppressed_links().await.unwrap(), links);
    let (_other_directory, other) = place();
    assert_ne!(open(&other).await.suppression_key().await.unwrap(), key);
}
