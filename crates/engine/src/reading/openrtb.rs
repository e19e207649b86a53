//! The segments in the `user` object of OpenRTB 2.6.

use super::asked::{AskedUser, Eid};
use ia_catalog::{Segment, Snapshot};
use ia_model::{MemberId, UserKey};
use ia_profiles::Membership;
use serde::Serialize;
use utoipa::ToSchema;

/// A user with a `data` object for each owner of its segments, in the order of their ids.
#[derive(Debug, Serialize, ToSchema)]
pub struct OpenRtbUser {
    /// The id that was asked for; absent where it is an extended id, which is nobody's `user.id`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    id: Option<String>,
    /// Only with extended ids.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    ext: Option<Ext>,
    data: Vec<Data>,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = OpenRtbUserExt)]
struct Ext {
    eids: Vec<Eid>,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = OpenRtbData)]
struct Data {
    id: String,
    name: String,
    segment: Vec<DataSegment>,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = OpenRtbSegment)]
struct DataSegment {
    id: String,
    value: String,
}

impl OpenRtbUser {
    pub(super) fn new(
        user: &AskedUser,
        visible: &[(&Segment, &Membership)],
        snapshot: &Snapshot,
    ) -> OpenRtbUser {
        let mut owners: Vec<MemberId> = visible.iter().map(|(segment, _)| segment.member).collect();
        owners.sort_unstable();
        owners.dedup();
        let data = owners.into_iter().map(|owner| Data {
            id: owner.to_string(),
            name: snapshot.member(owner).map_or_else(String::new, |member| member.name.to_string()),
            segment: visible
                .iter()
                .filter(|(segment, _)| segment.member == owner)
                .map(|(segment, membership)| DataSegment {
                    id: segment.id.to_string(),
                    value: membership.value.to_string(),
                })
                .collect(),
        });
        let (id, eids) = user.openrtb_ids();
        let ext = (!eids.is_empty()).then_some(Ext { eids });
        OpenRtbUser { id: id.map(UserKey::id), ext, data: data.collect() }
    }
}
