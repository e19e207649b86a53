use super::{AccountKind, without_ids};
use crate::services::rules::{
    Rule, flag, id, line, of_type, one_of, or_null, state, state_of, time, time_of,
};
use crate::services::{
    ChangeBody, RequestFields, RequestObject, ResourceKind, ServiceError, Services, answer_fields,
    request_fields,
};
use ia_catalog::listing::{ListQuery, Page, Resource};
use ia_catalog::{
    AccountChange, Accounts, CatalogError, Login, LoginEdit, LoginRecord, USER, USER_TYPES, UserType,
    check_password_rules,
};
use serde_json::{Value, json};
use utoipa::openapi::schema::Type;

/// The most passwords of one request: hashing takes long, and logins wait for it.
const MAX_PASSWORDS: usize = 10;

/// `/user`
pub struct Users;

impl ResourceKind for Users {
    const NAME: &'static str = "User";
    const TABLE: &'static Resource = &USER;
    type Request = LoginEdit;
    type Answer = LoginRecord;

    fn example() -> Value {
        json!({"username": "ann", "password": "…", "entity_id": 958})
    }
}

request_fields! {
    /// What is absent stays as it is, or is as usual in a new one.
    LoginEdit {
        /// Which, in a change of several.
        id => _ = id(),
        /// Unique without regard to case.
        username = line(255),
        /// Is never shown. 10 to 64 characters, among them an upper-case letter, a lower-case letter, a digit and a special character.
        password => _ = password(),
        email = line(255),
        first_name = line(255),
        last_name = line(255),
        state => [active] = state(),
        user_type = one_of(USER_TYPES).map(user_type),
        read_only = flag(),
        /// Its member.
        entity_id => [member] = id(),
    }
}

answer_fields! {
    record: LoginRecord {
        id: u32 = record.login.user_id,
        username: String = record.login.username.to_string(),
        email: Option<String> = record.email,
        first_name: Option<String> = record.first_name,
        last_name: Option<String> = record.last_name,
        state: String = state_of(record.active) => state().schema,
        user_type: &str = record.login.user_type.name() => one_of(USER_TYPES).schema,
        read_only: bool = record.login.read_only,
        /// Its member.
        entity_id: u32 = record.login.member.0,
        /// UTC, `YYYY-MM-DD HH:MM:SS`; null where it is not known.
        last_modified: Option<String> = time_of(record.last_modified_ms) => or_null(time()),
    }
}

impl AccountKind for Users {
    const CHANGE: fn(Vec<(u32, LoginEdit)>) -> AccountChange = AccountChange::EditLogins;
    const DELETE: Option<fn(Vec<u32>) -> AccountChange> = Some(AccountChange::DeleteLogins);

    fn change_of(object: &RequestObject, _: bool) -> Result<LoginEdit, ServiceError> {
        Ok(LoginEdit { path: object.path().to_owned(), ..LoginEdit::read(object)? })
    }

    /// Hashes the passwords, after all of them were checked.
    async fn complete(
        services: &Services,
        by: &Login,
        body: &ChangeBody,
        changes: &mut [LoginEdit],
    ) -> Result<(), ServiceError> {
        let mut passwords = Vec::new();
        for (object, change) in body.objects.iter().zip(changes) {
            let Some(password) = object.value("password", password)? else { continue };
            check_password_rules(&password)
                .map_err(|error| object.bad("password", format_args!("is refused: {error}")))?;
            passwords.push((password, change));
        }
        // Before the work: one of them is not the caller's own.
        if passwords.len() > 1 && by.user_type != UserType::Admin {
            let reason = "A login may change itself; others are for admins";
            return Err(CatalogError::Forbidden(reason.to_owned()).into());
        }
        if passwords.len() > MAX_PASSWORDS {
            let most = format_args!("can be set for {MAX_PASSWORDS} users at once");
            return Err(ServiceError::bad("password", most));
        }
        for (password, change) in passwords {
            change.password_hash = Some(services.authenticator.hash(password).await?);
        }
        Ok(())
    }

    fn creation(new: Vec<(Option<u32>, LoginEdit)>) -> Result<AccountChange, ServiceError> {
        Ok(AccountChange::CreateLogins(without_ids(new)))
    }

    async fn page(
        accounts: &dyn Accounts,
        by: &Login,
        query: &ListQuery,
    ) -> Result<Page<LoginRecord>, CatalogError> {
        accounts.list_logins(by, query).await
    }
}

fn user_type(name: &str) -> UserType {
    match name {
        "admin" => UserType::Admin,
        "bidder" => UserType::Bidder,
        _ => UserType::Member,
    }
}

/// A password in clear. Longer ones than any good one are read, so that the catalog's rules for passwords say what is
/// wrong with it, and not this one.
fn password() -> Rule<String> {
    line(1024).described(of_type(Type::String))
}
