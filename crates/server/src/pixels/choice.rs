//! Opting out and in by a form. The form must come from this server's page: otherwise a page of another site could undo
//! a person's choice with the browser's cookies.

use super::cookie::values;
use super::{Browser, IdCookie};
use ia_engine::parameters::Parameters;
use ia_engine::pixels::{PixelError, PixelWriter};
use ia_model::UserKey;

/// The cookie that is set with the form. Browsers return it only from a page of this server.
pub(crate) const FORM_COOKIE: &str = "ia_optout";

const TOKEN_DIGITS: usize = 32;

/// The random token in the cookie and in the form's hidden field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FormToken(String);

impl FormToken {
    /// A new random token.
    pub(crate) fn new() -> Result<FormToken, getrandom::Error> {
        Ok(FormToken(format!("{:016x}{:016x}", getrandom::u64()?, getrandom::u64()?)))
    }

    /// The token in a browser's `Cookie` headers.
    pub(crate) fn of<'h>(headers: impl Iterator<Item = &'h str>) -> Option<FormToken> {
        let is_token = |value: &&str| {
            value.len() == TOKEN_DIGITS && value.bytes().all(|byte| b"0123456789abcdef".contains(&byte))
        };
        values(headers, FORM_COOKIE).find(is_token).map(|value| FormToken(value.to_owned()))
    }

    /// Its digits.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

/// A person's choice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Choice {
    /// Opts out.
    Out,
    /// Opts in again.
    In,
}

/// Why a form is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadForm {
    /// Its choice is neither `out` nor `in`.
    #[error("'choice' must be out or in")]
    Choice,
    /// It may come from another site.
    #[error("This form did not come from the page of this server; open /optout and try again")]
    OtherSite,
}

impl Choice {
    /// Reads a form. `token` is from the browser's cookie, `sent_from` from its `Sec-Fetch-Site` header, if sent.
    pub(crate) fn read(
        form: &[u8],
        token: Option<FormToken>,
        sent_from: Option<&str>,
    ) -> Result<(Choice, FormToken), BadForm> {
        let form: Parameters<'_> = form_urlencoded::parse(form).collect();
        // With two different values it is no choice, and no token.
        let field = |name: &str| form.one(name).unwrap_or_default();
        let token = token.ok_or(BadForm::OtherSite)?;
        if field("token") != Some(token.as_str()) || sent_from.is_some_and(|site| site != "same-origin") {
            return Err(BadForm::OtherSite);
        }
        match field("choice") {
            Some("out") => Ok((Choice::Out, token)),
            Some("in") => Ok((Choice::In, token)),
            _ => Err(BadForm::Choice),
        }
    }
}

/// Why a choice was not carried out.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ChoiceError {
    /// The user of the browser could not be changed.
    #[error(transparent)]
    Pixel(#[from] PixelError),
    /// The system gave no random id.
    #[error("no random numbers")]
    Random(#[from] getrandom::Error),
}

/// Carries out a choice, and returns the browser after it.
pub(crate) async fn choose(
    writer: &PixelWriter,
    cookie: IdCookie,
    choice: Choice,
) -> Result<Browser, ChoiceError> {
    match (choice, cookie) {
        (Choice::Out, IdCookie::Id(id)) => {
            let user = UserKey::platform(id).expect("the id of a cookie is not 0");
            writer.opt_out(&user).await?;
            Ok(Browser::OPTED_OUT)
        }
        (Choice::Out, _) => Ok(Browser::OPTED_OUT),
        (Choice::In, cookie) => {
            let browser = Browser::of(cookie, |user| writer.is_suppressed(user))?;
            // A browser cannot prove that an opted-out id is its own. The opt-out stays, and the browser gets a new id.
            let browser = if browser.user().is_some() { browser } else { Browser::new()? };
            if let Some(user) = browser.user() {
                writer.seen(&user).await?;
            }
            Ok(browser)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_of_another_site_is_refused() {
        let token = FormToken::new().unwrap();
        let own = || Some(token.clone());
        let form = |choice: &str, token: &str| format!("choice={choice}&token={token}").into_bytes();
        let right = form("out", token.as_str());
        assert_eq!(Choice::read(&right, own(), Some("same-origin")), Ok((Choice::Out, token.clone())));
        assert_eq!(Choice::read(&form("in", token.as_str()), own(), None), Ok((Choice::In, token.clone())));
        let other = FormToken::new().unwrap();
        for (form, token, from) in [
            (right.clone(), None, None),
            (right.clone(), Some(other.clone()), None),
            (right.clone(), own(), Some("cross-site")),
            (right.clone(), own(), Some("same-site")),
            (right, own(), Some("none")),
            (form("out", other.as_str()), own(), None),
            (form("out", ""), own(), None),
            (b"choice=out".to_vec(), own(), None),
        ] {
            assert_eq!(Choice::read(&form, token, from), Err(BadForm::OtherSite));
        }
        assert_eq!(Choice::read(&form("maybe", token.as_str()), own(), None), Err(BadForm::Choice));
        let cookies = |text: &'static str| FormToken::of([text].into_iter());
        for text in ["ia_optout=", "ia_optout=x", "ia_optout=<script>", "a=b"] {
            assert_eq!(cookies(text), None, "{text}");
        }
    }
}
