use super::{AccountKind, page_of, path_of, read_state, state, time_of, to_change};
use crate::services::Services;
use crate::services::sent::Sent;
use crate::services::{Given, Object, ServiceError};
use ia_catalog::listing::{ListQuery, Page, Resource};
use ia_catalog::{
    AccountChange, Accounts, CatalogError, Login, LoginEdit, LoginRecord, USER, UserType,
    check_password_rules,
};
use serde_json::json;

/// Hashing takes long, and a queue of it is waited for by logins.
const MAX_PASSWORDS: usize = 10;

/// More than any good password has, so that its rules and not this say what is wrong with it.
const MAX_READ_CHARACTERS: usize = 1024;

/// `/user`
pub struct Users;

impl AccountKind for Users {
    const RESOURCE: &'static Resource = &USER;
    type Edit = LoginEdit;

    fn edit(given: &Given, _: bool) -> Result<LoginEdit, ServiceError> {
        let user_type = given.choice_of(USER.known_field("user_type"))?.flatten();
        Ok(LoginEdit {
            path: path_of(given),
            username: given.line("username", 255)?.flatten(),
            password_hash: None,
            email: to_change(given.line("email", 255)?),
            first_name: to_change(given.line("first_name", 255)?),
            last_name: to_change(given.line("last_name", 255)?),
            active: read_state(given, &USER)?,
            user_type: user_type.map(|name| match name {
                "admin" => UserType::Admin,
                "bidder" => UserType::Bidder,
                _ => UserType::Member,
            }),
            read_only: given.flag("read_only")?.flatten(),
            member: given.integer("entity_id", 1, u32::MAX)?.flatten(),
        })
    }

    /// Hashes the passwords, after all of them were looked at.
    async fn complete(
        services: &Services,
        by: &Login,
        sent: &Sent,
        edits: &mut [LoginEdit],
    ) -> Result<(), ServiceError> {
        let mut passwords = Vec::new();
        for (given, edit) in sent.objects.iter().zip(edits) {
            let Some(password) = given.line("password", MAX_READ_CHARACTERS)?.flatten() else { continue };
            check_password_rules(&password)
                .map_err(|error| given.bad("password", format_args!("is refused: {error}")))?;
            passwords.push((password, edit));
        }
        // Before the work: one of them is not the caller's own.
        if passwords.len() > 1 && by.user_type != UserType::Admin {
            let reason = "A login may change itself; others are for admins";
            return Err(CatalogError::Forbidden(reason.to_owned()).into());
        }
        if passwords.len() > MAX_PASSWORDS {
            return Err(ServiceError::bad(
                "password",
                format_args!("can be set for {MAX_PASSWORDS} users at once"),
            ));
        }
        for (password, edit) in passwords {
            edit.password_hash = Some(services.authenticator.hash(password).await?);
        }
        Ok(())
    }

    fn create(edits: Vec<(Option<u32>, LoginEdit)>) -> Result<AccountChange, ServiceError> {
        Ok(AccountChange::CreateLogins(edits.into_iter().map(|(_, edit)| edit).collect()))
    }

    fn change(edits: Vec<(u32, LoginEdit)>) -> AccountChange {
        AccountChange::EditLogins(edits)
    }

    async fn list(
        accounts: &dyn Accounts,
        by: &Login,
        query: &ListQuery,
    ) -> Result<Page<Object>, CatalogError> {
        Ok(page_of(accounts.list_logins(by, query).await?, object))
    }
}

fn object(record: &LoginRecord) -> Object {
    let login = &record.login;
    Object(vec![
        ("id", login.user_id.into()),
        ("username", json!(&*login.username)),
        ("email", json!(record.email)),
        ("first_name", json!(record.first_name)),
        ("last_name", json!(record.last_name)),
        ("state", state(record.active)),
        ("user_type", login.user_type.name().into()),
        ("read_only", login.read_only.into()),
        ("entity_id", login.member.0.into()),
        ("last_modified", time_of(record.last_modified_ms)),
    ])
}
