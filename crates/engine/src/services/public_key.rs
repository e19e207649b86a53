//! The public-key service.

use super::rules::{Rule, flag, id, name, text, time};
use super::{
    AnswerFields, AnswerObject, CatalogService, ChangeBody, RequestFields, RequestObject, ResourceKind,
    ServiceError, Services, answer_fields, request_fields,
};
use ia_catalog::listing::{ListQuery, Page, Resource};
use ia_catalog::{NewPublicKey, PUBLIC_KEY, PublicKey, RsaKey};
use ia_model::time::format_utc;
use serde_json::{Value, json};

/// Of 8192 bits, in PEM and with a comment.
const MAX_PEM_CHARACTERS: usize = 8192;

/// `/public-key`
pub struct PublicKeys;

/// What a request says of a key.
#[derive(Debug, Clone, Default)]
pub struct KeyFields {
    name: Option<String>,
    encoded_value: Option<String>,
    active: Option<bool>,
}

impl ResourceKind for PublicKeys {
    const NAME: &'static str = "PublicKey";
    const TABLE: &'static Resource = &PUBLIC_KEY;
    const TAKES_SEVERAL: bool = false;
    type Request = KeyFields;
    type Answer = PublicKey;

    fn example() -> Value {
        let pem = "-----BEGIN PUBLIC KEY-----\nMIIBIj…\n-----END PUBLIC KEY-----\n";
        json!({"name": "my-key", "encoded_value": pem})
    }
}

request_fields! {
    KeyFields {
        /// What the `kid` of a signed token says; another for each key of a login. On creation.
        name = key_name(),
        /// RSA, 2048 to 8192 bits, in PEM. On creation.
        encoded_value = text(MAX_PEM_CHARACTERS),
        /// Whether it lets anybody in.
        active = flag(),
        /// Whose; on creation.
        user_id => _ = id(),
    }
}

answer_fields! {
    /// A public key; `fields` leaves some of it out.
    key: PublicKey {
        id: u32 = key.id,
        active: bool = key.active,
        name: String = key.name,
        user_id: u32 = key.user_id,
        /// In PEM.
        encoded_value: String = key.key.to_pem(),
        created_on: String = format_utc(key.created_at_ms) => time(),
    }
}

impl CatalogService for PublicKeys {
    /// The login that the call is confined to; `None` is all.
    type Scope = Option<u32>;

    async fn list(
        services: &Services,
        owner: &Option<u32>,
        query: &ListQuery,
    ) -> Result<Page<AnswerObject>, ServiceError> {
        let Page { items, count } = services.catalog.public_keys.public_keys(*owner, query).await?;
        Ok(Page { items: items.into_iter().map(AnswerFields::show).collect(), count })
    }

    async fn create(
        services: &Services,
        owner: &Option<u32>,
        body: &ChangeBody,
        _: Option<u32>,
    ) -> Result<Vec<AnswerObject>, ServiceError> {
        let object = only(body)?;
        let KeyFields { name, encoded_value, active } = KeyFields::read(object)?;
        let user_id = owner.ok_or_else(|| object.bad("user_id", "is required"))?;
        let must_be = || object.bad("name", format_args!("must be {}", key_name().expected));
        let name = name.ok_or_else(must_be)?;
        let pem = encoded_value.ok_or_else(|| object.bad("encoded_value", "is required"))?;
        let key = RsaKey::from_pem(&pem).map_err(|error| object.bad("encoded_value", error))?;
        let now_ms = services.clock.now_ms();
        let new = NewPublicKey { user_id, name, active: active.unwrap_or(true), key, now_ms };
        let catalog = &services.catalog;
        let stored = catalog.change(catalog.public_keys.create_public_key(&new)).await?;
        Ok(vec![stored.show()])
    }

    /// Switches keys on or off: nothing else of them can be changed, and nothing else is read.
    async fn change(
        services: &Services,
        owner: &Option<u32>,
        body: &ChangeBody,
        ids: Option<Vec<u32>>,
        _: bool,
    ) -> Result<Vec<AnswerObject>, ServiceError> {
        let object = only(body)?;
        let active = object.value("active", flag)?;
        let active =
            active.ok_or_else(|| object.bad("active", "is required: nothing else can be changed"))?;
        let ids = ids.ok_or_else(|| ServiceError::bad("id", "is required"))?;
        let catalog = &services.catalog;
        let switched = catalog.public_keys.switch_public_keys(*owner, &ids, active);
        Ok(catalog.change(switched).await?.into_iter().map(AnswerFields::show).collect())
    }

    async fn delete(services: &Services, owner: &Option<u32>, ids: &[u32]) -> Result<(), ServiceError> {
        let catalog = &services.catalog;
        Ok(catalog.change(catalog.public_keys.delete_public_keys(*owner, ids)).await?)
    }
}

/// The login that a body names as the owner of a new key.
pub fn owner(body: &ChangeBody) -> Result<Option<u32>, ServiceError> {
    only(body)?.value("user_id", id)
}

fn only(body: &ChangeBody) -> Result<&RequestObject, ServiceError> {
    match body.objects.as_slice() {
        [object] => Ok(object),
        _ => Err(ServiceError::bad("public-key", "must be one object")),
    }
}

fn key_name() -> Rule<String> {
    name(64, "[A-Za-z0-9_.-]", "letters, digits, '_', '-' or '.'", b"_-.")
}
