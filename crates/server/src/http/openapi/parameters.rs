//! Parameters of the query that several operations take. Nothing is made of these types.
#![expect(dead_code, reason = "these types are described, never made")]

use utoipa::IntoParams;

macro_rules! parameters {
    ($($(#[doc = $about:literal])+ $group:ident { $($(#[$said:meta])+ $name:ident: $type:ty,)+ })+) => {$(
        $(#[doc = $about])+
        #[derive(IntoParams)]
        #[into_params(parameter_in = Query)]
        pub(crate) struct $group { $($(#[$said])+ $name: $type,)+ }
    )+};
}

parameters! {
    /// What every list takes beside the filters by its fields: `<field>`, `min_<field>`, `max_<field>`, `nmin_<field>`
    /// and `nmax_<field>` (absent values count too), `like_<field>`, `not_<field>`. What takes several by commas may be
    /// repeated instead.
    ListParameters {
        /// Several by commas or repeated, at most 10,000. One alone, without another filter, is answered as one object.
        id: Option<String>,
        /// What its searched fields contain.
        search: Option<String>,
        /// `<field>.asc` or `<field>.desc`, several by commas.
        sort: Option<String>,
        /// Which fields to show, by commas; the id always.
        fields: Option<String>,
        /// How many to leave out. Absent: what `start_element` says in a JSON body of the `GET`.
        #[param(minimum = 0)]
        start_element: Option<u32>,
        /// The size of the page: 100 if absent, and at most. Absent: what `num_elements` or `batch_size` says in a JSON
        /// body of the `GET`.
        #[param(minimum = 1)]
        num_elements: Option<u32>,
    }
    /// What a change takes.
    ChangedIds {
        /// Which; several by commas or repeated. Absent where the body says it
        id: Option<String>,
    }
    /// What a deletion takes.
    Ids {
        /// Which; several by commas or repeated
        id: Option<String>,
    }
    /// What a change of lists takes.
    Append {
        /// true: lists come to what is there
        append: Option<String>,
    }
    /// Whose objects or report.
    OfMember {
        /// The caller's own if absent; another is for admins
        #[param(minimum = 1, maximum = 4_294_967_295_u64)]
        member_id: Option<u64>,
    }
    /// Whose memberships are shown.
    SegmentOwner {
        /// Only segments of this owner
        #[param(minimum = 1, maximum = 4_294_967_295_u64)]
        member_id: Option<u64>,
    }
    /// Which member is set up.
    ConfiguredMember {
        /// Whose. Absent where the body says it
        #[param(minimum = 1, maximum = 4_294_967_295_u64)]
        member_id: Option<u64>,
    }
    /// Whose own id a request of a person is about.
    ExternalIdOwner {
        /// The same as in the body
        #[param(minimum = 1, maximum = 4_294_967_295_u64)]
        member_id: Option<u64>,
    }
    /// What pixels are told about consent. Without consent nothing is written, and no cookie is set.
    ConsentQuery {
        /// A US Privacy string; a third character `Y` is an opt-out of sale
        us_privacy: Option<String>,
        /// Whether the GDPR applies: anything but 0 means yes
        gdpr: Option<String>,
        /// With `gdpr`: a TC string of version 2, which must allow purpose 1 to the operator's vendor
        gdpr_consent: Option<String>,
        /// A GPP string
        gpp: Option<String>,
        /// The sections of `gpp` that apply, by commas; -1 is none, and 0 or absent is all
        gpp_sid: Option<String>,
    }
    /// A segment by another name than its id.
    SegmentCode {
        /// Which one, by its code, in place of `id`
        code: Option<String>,
    }
    /// Which keys, beside their `id`.
    KeysOfUser {
        /// The same as `id`
        key_id: Option<String>,
        /// Whose; another's is for admins
        #[param(minimum = 1)]
        user_id: Option<u32>,
    }
}
