//! How the commands find the server, and show who they are.

use super::api::{Login, Server, secret_header};
use super::http::Http;
use anyhow::{Context, bail, ensure};
use clap::Args;
use std::path::PathBuf;
use url::Url;

const TOKEN: &str = "INSTANT_AUDIENCE_TOKEN";
const PASSWORD: &str = "INSTANT_AUDIENCE_PASSWORD";

/// The options of commands that call a running server. Secrets come from files or from the environment: the command
/// line is seen by everybody on the machine.
#[derive(Debug, Args)]
pub(in crate::cli) struct Access {
    /// The member whose users the file holds.
    #[arg(long, value_name = "ID", value_parser = clap::value_parser!(u64).range(1..))]
    member: u64,
    /// The server's API.
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8080")]
    url: Url,
    /// A file that holds a token. Without it and --user: the token in the environment variable INSTANT_AUDIENCE_TOKEN.
    #[arg(long, value_name = "FILE", conflicts_with = "user")]
    token_file: Option<PathBuf>,
    /// Log in with this user name, and again when the token has run out.
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// A file that holds the password for --user. Without it: the environment variable INSTANT_AUDIENCE_PASSWORD.
    #[arg(long, value_name = "FILE", requires = "user")]
    password_file: Option<PathBuf>,
    /// Certificates in PEM to trust, beside those that the system trusts.
    #[arg(long, value_name = "FILE")]
    ca_file: Option<PathBuf>,
}

impl Access {
    /// A client for the server.
    pub(in crate::cli) fn server(&self) -> anyhow::Result<(Server, Http)> {
        let base = self.url.as_str().trim_end_matches('/').to_owned();
        ensure!(matches!(self.url.scheme(), "http" | "https"), "--url must begin with http:// or https://");
        ensure!(
            self.url.username().is_empty() && self.url.password().is_none(),
            "--url must not hold a password: everybody on the machine can see it there"
        );
        ensure!(self.url.query().is_none() && self.url.fragment().is_none(), "--url must not have a query");
        let http = Http::new(self.ca_file.as_deref())?;
        Ok((Server::new(http.clone(), base, self.login()?, self.member), http))
    }

    fn login(&self) -> anyhow::Result<Login> {
        if let Some(username) = &self.user {
            let password = match &self.password_file {
                Some(file) => std::fs::read_to_string(file)
                    .with_context(|| format!("cannot read the password in {}", file.display()))?
                    .trim_end_matches(['\r', '\n'])
                    .to_owned(),
                None => std::env::var(PASSWORD).with_context(|| {
                    format!("--user needs --password-file, or the password in {PASSWORD}")
                })?,
            };
            return Ok(Login::Password { username: username.clone(), password });
        }
        if let Some(file) = &self.token_file {
            return Ok(Login::TokenFile(file.clone()));
        }
        match std::env::var(TOKEN) {
            Ok(token) => {
                let token =
                    secret_header(&token).with_context(|| format!("{TOKEN} does not hold a token"))?;
                Ok(Login::Token(token))
            }
            Err(_) => bail!("who is calling? Give --token-file, --user, or a token in {TOKEN}"),
        }
    }
}
