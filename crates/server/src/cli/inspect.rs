//! `instant-audience inspect`: the contents of a data directory, one JSON object on each line.

use crate::config::{Config, Overrides};
use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use ia_engine::data_dir::DataDir;
use ia_engine::user_ids;
use ia_log::{Found, Inspector, LogError, RealDisk};
use ia_model::{Change, ErasedSegments, Expiry, MemberId, Minute, Operation, Record, UserKey, time};
use ia_profiles::Membership;
use ia_profiles::inspect::{self, StoredProfile};
use serde_json::{Value, json};
use std::io::{BufWriter, Write};
use std::path::PathBuf;
use std::sync::Arc;

/// What to look at.
#[derive(Debug, Subcommand)]
pub(super) enum Inspect {
    /// Print every record of the log and check every frame. Fails if a frame or a record is damaged.
    Log {
        #[command(flatten)]
        place: Place,
        /// Do not print records before this position.
        #[arg(long, default_value_t = 1)]
        from: u64,
        /// Check everything, but print only files and faults.
        #[arg(long)]
        quiet: bool,
    },
    /// Print what the checkpoint holds of a user, and what the log has changed since then.
    Profile {
        #[command(flatten)]
        place: Place,
        /// The user's id.
        user_id: String,
        /// The domain of the id, such as idfa or eid:liveramp.com. Platform ids have none.
        #[arg(long)]
        domain: Option<String>,
        /// The member whose name space the id is in, for an external id.
        #[arg(long, value_name = "MEMBER", conflicts_with = "domain")]
        namespace: Option<u32>,
    },
    /// Check every file of the checkpoint and print a summary.
    Checkpoint {
        #[command(flatten)]
        place: Place,
    },
}

/// The data directory.
#[derive(Debug, Args)]
pub(super) struct Place {
    /// The configuration file, in TOML.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The data directory to read. Overrides server.data_dir of the configuration.
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
}

impl Place {
    fn open(self) -> anyhow::Result<DataDir> {
        let overrides = Overrides { file: self.config, data_dir: self.data_dir, ..Overrides::default() };
        DataDir::existing(&Config::load(&overrides)?.server.data_dir)
    }
}

pub(super) fn run(what: Inspect) -> anyhow::Result<()> {
    let mut out = BufWriter::new(std::io::stdout().lock());
    match what {
        Inspect::Log { place, from, quiet } => log(&place.open()?, from, quiet, &mut out),
        Inspect::Profile { place, user_id, domain, namespace } => {
            let user = user_ids::key(namespace.map(MemberId), domain.as_deref(), &user_id);
            let user = user.map_err(anyhow::Error::msg)?;
            profile(&place.open()?, &user, &mut out)
        }
        Inspect::Checkpoint { place } => checkpoint(&place.open()?, &mut out),
    }?;
    Ok(out.flush()?)
}

fn log(data_dir: &DataDir, from: u64, quiet: bool, out: &mut impl Write) -> anyhow::Result<()> {
    let (mut records, mut damaged) = (0u64, 0u64);
    for found in Inspector::open(&data_dir.log(), Arc::new(RealDisk))? {
        let line = match found {
            Err(error @ LogError::Io { .. }) => return Err(error.into()),
            Err(error) => {
                damaged += 1;
                json!({"damaged": error.to_string()})
            }
            Ok(Found::Record { offset, position, payload }) => {
                records += 1;
                let shown = match Record::decode(&payload) {
                    Ok(record) => show_record(&record),
                    Err(error) => {
                        damaged += 1;
                        json!({"damaged": error.to_string()})
                    }
                };
                if position < from || (quiet && shown.get("damaged").is_none()) {
                    continue;
                }
                json!({"position": position, "offset": offset, "bytes": payload.len(), "record": shown})
            }
            Ok(Found::Mark { .. }) => continue,
            Ok(Found::File { path, version, first_position, bytes }) => {
                json!({"file": path, "version": version, "first_position": first_position, "bytes": bytes})
            }
            Ok(Found::End { offset, next_position }) => {
                json!({"end": offset, "next_position": next_position})
            }
            Ok(Found::Torn { offset, bytes, fault }) => {
                json!({"torn": offset, "bytes": bytes, "fault": fault.to_string()})
            }
            Ok(Found::Damaged { offset, fault }) => {
                damaged += 1;
                json!({"damaged": offset, "fault": fault.to_string()})
            }
        };
        writeln!(out, "{line}")?;
    }
    writeln!(out, "{}", json!({"records": records, "faults": damaged}))?;
    out.flush()?;
    if damaged > 0 {
        bail!("the log has {damaged} faults");
    }
    Ok(())
}

fn profile(data_dir: &DataDir, user: &UserKey, out: &mut impl Write) -> anyhow::Result<()> {
    let stored = inspect::profile(&data_dir.profiles(), user)?;
    let (position, memberships, links) = stored
        .map_or((0, Vec::new(), Vec::new()), |StoredProfile { position, memberships, links }| {
            (position, memberships, links)
        });
    let memberships: Vec<Value> = memberships.iter().map(show_membership).collect();
    let mut line = json!({"checkpoint": position, "memberships": memberships});
    if !links.is_empty() {
        line["links"] = show_links(&links);
    }
    writeln!(out, "{line}")?;
    for found in Inspector::open(&data_dir.log(), Arc::new(RealDisk))? {
        let Found::Record { position: at, payload, .. } = found? else { continue };
        if at <= position {
            continue;
        }
        let record = Record::decode(&payload).with_context(|| format!("cannot read the record at {at}"))?;
        if let Some(changes) = changes_of(&record, user) {
            writeln!(out, "{}", json!({"position": at, "changes": changes}))?;
        }
    }
    Ok(())
}

/// The changes of a record to a user; `None` if it changes nothing.
fn changes_of(record: &Record, user: &UserKey) -> Option<Value> {
    match record {
        Record::Ingest(ingest) => {
            let (_, operations) =
                ingest.batch.iter().find(|(key, operations)| *key == user && !operations.is_empty())?;
            let operations: Vec<Value> = operations.iter().map(show_operation).collect();
            Some(json!({"at": time::format_utc(ingest.accepted_at_ms), "operations": operations}))
        }
        Record::Erase(erase) => (erase.user == *user).then(|| show_record(record)),
        Record::Link(link) => (link.user == *user).then(|| show_record(record)),
    }
}

fn checkpoint(data_dir: &DataDir, out: &mut impl Write) -> anyhow::Result<()> {
    let line = match inspect::checkpoint(&data_dir.profiles())? {
        None => json!({"checkpoint": null}),
        Some(summary) => json!({
            "checkpoint": summary.position,
            "profiles": summary.profiles,
            "linked_users": summary.linked_users,
            "blob_bytes": summary.blob_bytes,
            "store_bytes": summary.store_bytes,
            "format_version": summary.format_version,
            "rewrite_due": summary.rewrite_due,
        }),
    };
    Ok(writeln!(out, "{line}")?)
}

fn show_record(record: &Record) -> Value {
    match record {
        Record::Ingest(ingest) => {
            let users = ingest.batch.iter().map(|(user, operations)| {
                let operations: Vec<Value> = operations.iter().map(show_operation).collect();
                let mut shown = show_user(user);
                shown["operations"] = operations.into();
                shown
            });
            let usage = &ingest.usage;
            json!({
                "kind": "ingest",
                "at": time::format_utc(ingest.accepted_at_ms),
                "member_id": ingest.member.0,
                "request_id": ingest.request_id,
                "users": users.collect::<Vec<_>>(),
                "refused": {
                    "invalid_users": usage.invalid_users.count,
                    "unauthorized": usage.unauthorized.count,
                    "inactive": usage.inactive.count,
                    "invalid": usage.invalid.count,
                    "other": usage.other.count,
                },
            })
        }
        Record::Erase(erase) => {
            let mut shown = show_user(&erase.user);
            shown["kind"] = "erase".into();
            shown["at"] = time::format_utc(erase.accepted_at_ms).into();
            shown["segments"] = match &erase.segments {
                ErasedSegments::All => Value::from("all"),
                ErasedSegments::Only(segments) => segments.iter().map(|segment| segment.0).collect(),
            };
            shown["member_id"] = erase.member.map(|member| member.0).into();
            shown
        }
        Record::Link(link) => json!({
            "kind": "link",
            "at": time::format_utc(link.accepted_at_ms),
            "member_id": link.member.0,
            "user_id": link.user.id(),
            "links": show_links(&link.links),
        }),
    }
}

/// A user without a domain is a platform user, or an external id with its name space.
fn show_user(user: &UserKey) -> Value {
    let mut shown = json!({"user_id": user.id(), "domain": user.domain_name()});
    if let Some(member) = user.namespace() {
        shown["namespace"] = member.0.into();
    }
    shown
}

fn show_links(links: &[(UserKey, Minute)]) -> Value {
    let links = links.iter().map(|(id, end)| {
        let mut shown = show_user(id);
        shown["expires_on"] = show_minute(*end).into();
        shown
    });
    links.collect()
}

fn show_operation(operation: &Operation) -> Value {
    match operation.change {
        Change::Remove => json!({"remove": operation.segment.0}),
        Change::Add { expires, value } => {
            json!({"add": operation.segment.0, "value": value, "expires_on": show_expiry(expires)})
        }
        Change::AddLater { begins, expires, value } => json!({
            "add": operation.segment.0,
            "value": value,
            "begins_on": show_minute(begins),
            "expires_on": show_expiry(expires),
        }),
    }
}

fn show_membership(membership: &Membership) -> Value {
    let mut shown = json!({
        "segment": membership.segment.0,
        "value": membership.value,
        "added_on": show_minute(membership.added_at),
        "last_seen": show_minute(membership.last_seen),
        "expires_on": show_expiry(membership.expires),
    });
    if let Some(pause) = membership.pause {
        if let Some(from) = pause.from() {
            shown["hidden_from"] = show_minute(from).into();
        }
        shown["begins_on"] = show_minute(pause.until()).into();
    }
    shown
}

fn show_expiry(expires: Expiry) -> Option<String> {
    match expires {
        Expiry::Never => None,
        Expiry::At(minute) => Some(show_minute(minute)),
    }
}

fn show_minute(minute: Minute) -> String {
    time::format_utc(minute.unix_ms())
}
