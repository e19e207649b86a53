//! `instant-audience import-users`

use super::start_logging;
use crate::config::{Config, LogFormat, Overrides};
use anyhow::{Context, bail};
use clap::Args;
use flate2::bufread::MultiGzDecoder;
use ia_catalog::{Imported, KnownUserHasher, KnownUserStore, SqliteCatalog, import_known_users};
use ia_engine::data_dir::DataDir;
use ia_engine::nobody::Nobody;
use ia_engine::user_ids;
use ia_model::{Domain, SystemClock, UserKey};
use indicatif::{ProgressBar, ProgressStyle};
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// A domain, a comma and the longest id need less.
const MAX_LINE_BYTES: usize = 1024;

const BUFFER_BYTES: usize = 1 << 20;

/// `import-users FILE`
#[derive(Debug, Args)]
pub(super) struct ImportUsersArgs {
    /// A text file, plain or gzip, with one id on each line: a platform id, or a domain (such as idfa, or
    /// eid:liveramp.com), a comma and an id. Use - for standard input.
    file: PathBuf,
    /// The configuration file, in TOML.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The data directory. Overrides server.data_dir of the configuration.
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
}

pub(super) fn run(args: ImportUsersArgs) -> anyhow::Result<()> {
    start_logging(LogFormat::Text, "warn")?;
    let overrides = Overrides { file: args.config, data_dir: args.data_dir, ..Overrides::default() };
    let config = Config::load(&overrides)?;
    let name = args.file.display();
    let (source, bytes) = open(&args.file).with_context(|| format!("cannot read {name}"))?;
    let data_dir = DataDir::create(&config.server.data_dir)?;
    let nobody = config.identities.nobody()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (lines, imported) = runtime
        .block_on(import(source, bytes, &nobody, &data_dir))
        .with_context(|| format!("nothing of {name} was imported"))?;
    let Imported { new, known } = imported;
    let Lines { ids, of_nobody } = lines;
    let repeated = ids - new - known;
    writeln!(
        std::io::stdout(),
        "ids: {ids} read, {new} new, {known} known before, {repeated} repeated in the file"
    )?;
    if of_nobody > 0 {
        let example = "such as the zeros of devices that limit tracking";
        writeln!(std::io::stdout(), "left out: {of_nobody} that are nobody's, {example}")?;
    }
    Ok(())
}

/// How many lines there are of each kind.
struct Lines {
    ids: usize,
    of_nobody: usize,
}

async fn import(
    source: Box<dyn Read>,
    bytes: Option<u64>,
    nobody: &Nobody,
    data_dir: &DataDir,
) -> anyhow::Result<(Lines, Imported)> {
    let catalog = SqliteCatalog::open(&data_dir.catalog(), Arc::new(SystemClock)).await?;
    let outcome = async {
        let hasher = KnownUserHasher::new(&catalog.known_user_key().await?);
        let bar = progress_bar(bytes);
        let (hashes, of_nobody) = read_ids(bar.wrap_read(source), &hasher, nobody)?;
        bar.set_message("writing");
        let lines = Lines { ids: hashes.len(), of_nobody };
        let imported = import_known_users(&catalog, hashes).await?;
        bar.finish_and_clear();
        Ok((lines, imported))
    };
    let outcome = outcome.await;
    catalog.close().await;
    outcome
}

/// The file, and its length if it is known.
fn open(path: &Path) -> std::io::Result<(Box<dyn Read>, Option<u64>)> {
    if path == Path::new("-") {
        return Ok((Box::new(std::io::stdin()), None));
    }
    let file = File::open(path)?;
    let about = file.metadata()?;
    let bytes = about.is_file().then_some(about.len());
    Ok((Box::new(file), bytes))
}

/// Shown on standard error, if that is a terminal.
fn progress_bar(bytes: Option<u64>) -> ProgressBar {
    let (bar, template) = match bytes {
        Some(bytes) => {
            (ProgressBar::new(bytes), "{msg} {wide_bar} {bytes}/{total_bytes} {bytes_per_sec} {eta}")
        }
        None => (ProgressBar::new_spinner(), "{msg} {spinner} {bytes} {bytes_per_sec}"),
    };
    bar.set_style(ProgressStyle::with_template(template).expect("the templates are well formed"));
    bar.set_message("reading");
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}

/// The hash of the id on each line, and how many lines have an id of nobody, which are left out. Empty lines are
/// skipped.
fn read_ids(
    source: impl Read,
    hasher: &KnownUserHasher,
    nobody: &Nobody,
) -> anyhow::Result<(Vec<u64>, usize)> {
    let mut source = BufReader::with_capacity(BUFFER_BYTES, source);
    let is_packed = source.fill_buf()?.starts_with(&[0x1f, 0x8b]);
    let mut source: Box<dyn BufRead> = if is_packed {
        Box::new(BufReader::with_capacity(BUFFER_BYTES, MultiGzDecoder::new(source)))
    } else {
        Box::new(source)
    };
    let (mut hashes, mut of_nobody, mut line) = (Vec::new(), 0, Vec::new());
    for number in 1_u64.. {
        line.clear();
        source
            .by_ref()
            .take(MAX_LINE_BYTES as u64)
            .read_until(b'\n', &mut line)
            .with_context(|| format!("cannot read line {number}"))?;
        if line.is_empty() {
            break;
        }
        if line.len() == MAX_LINE_BYTES && !line.ends_with(b"\n") {
            bail!("line {number} is longer than {MAX_LINE_BYTES} bytes");
        }
        // Errors do not repeat the line: ids must not show up on a screen or in the log of a job.
        let text = std::str::from_utf8(&line).with_context(|| format!("line {number} is not UTF-8"))?;
        // Some editors write a byte order mark at the front.
        let text = if number == 1 { text.trim_start_matches('\u{feff}') } else { text }.trim();
        if text.is_empty() {
            continue;
        }
        let user = parse(text).with_context(|| format!("line {number}"))?;
        if nobody.contains(&user) {
            of_nobody += 1;
        } else {
            hashes.push(hasher.hash(&user));
        }
    }
    Ok((hashes, of_nobody))
}

/// `domain,id`, or a platform id.
fn parse(line: &str) -> anyhow::Result<UserKey> {
    if let Some((name, id)) = line.split_once(',')
        && let Some(source) = Domain::source_in(name)
    {
        return user_ids::extended(source, id).map_err(anyhow::Error::msg);
    }
    let (domain, id) = match line.split_once(',') {
        None | Some(("", _)) => (Domain::Platform, line.trim_start_matches(',')),
        Some((name, id)) => (Domain::from_name(name).context("the domain is not known")?, id),
    };
    Ok(UserKey::parse(domain, id)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_all(text: &[u8]) -> Result<(Vec<u64>, usize), String> {
        let nobody = Nobody::with(&["77".to_owned()]).unwrap();
        read_ids(text, &KnownUserHasher::new(&[7; 32]), &nobody).map_err(|error| format!("{error:#}"))
    }

    fn read(text: &[u8]) -> Result<Vec<u64>, String> {
        read_all(text).map(|(hashes, _)| hashes)
    }

    #[test]
    fn ids_of_nobody_are_left_out_and_counted() {
        let uuid = "AEBE52E7-03EE-455A-B3C4-E57283966239";
        let zeros = "00000000-0000-0000-0000-000000000000";
        let text = format!(
            "\u{feff}7\nIDFA, {{{uuid}}}\naaid,{zeros}\n77\nidfa,{zeros}\nidfa,{}\n",
            uuid.to_lowercase()
        );
        let (hashes, of_nobody) = read_all(text.as_bytes()).unwrap();
        assert_eq!((hashes.len(), of_nobody), (3, 3));
        assert_eq!(hashes[1], hashes[2], "spellings of one id");
    }

    #[test]
    fn a_line_is_an_id_with_or_without_a_domain() {
        let udid = "2fd4e1c67a2d28fced849ee1bb76e7391b93eb12";
        let text = format!("\u{20}7 \r\n\n,7\nsha1udid,{udid}\nsh1udid , {}", udid.to_uppercase());
        let hashes = read(text.as_bytes()).unwrap();
        assert_eq!(hashes.len(), 4);
        assert_eq!((hashes[0], hashes[2]), (hashes[1], hashes[3]), "spellings of one id");
        assert_ne!(hashes[0], hashes[2]);
    }

    #[test]
    fn extended_ids_are_behind_their_source() {
        let text = "eid:liveramp.com,XY,1\n EID : LiveRamp.com, XY,1\neid:id5-sync.com,XY,1\neid:a,xy,1\n";
        let hashes = read(text.as_bytes()).unwrap();
        assert_eq!(hashes[0], hashes[1], "spellings of one id");
        assert!(hashes[0] != hashes[2] && hashes[0] != hashes[3] && hashes[2] != hashes[3]);
        assert_eq!(read_all(b"eid:a.b,77\neid:a.b,0\n7").unwrap().1, 2, "nobody's");
        let long = format!("eid:{},{}", "s".repeat(255), "x".repeat(255));
        assert_eq!(read(long.as_bytes()).unwrap().len(), 1);
        let error = read(b"eid:a b,987").unwrap_err();
        assert!(
            error.starts_with("line 1: The source of an extended id") && !error.contains("987"),
            "{error}"
        );
        for line in [&b"eid:a,"[..], b"eid:a,see hbapi:1:x:y", b"eid:a"] {
            assert!(read(line).is_err(), "{line:?}");
        }
    }

    #[test]
    fn a_fault_is_named_by_its_line_and_repeats_no_id() {
        for (text, expected) in [
            ("7\n8\nx987\n", "line 3: the id is not well formed for its domain"),
            ("0", "line 1: the id is not well formed for its domain"),
            ("\nsha1mac,987", "line 2: the domain is not known"),
            ("idfa,987", "line 1: the id is not well formed for its domain"),
            ("idfa,", "line 1: the id is not well formed for its domain"),
            ("7,7", "line 1: the domain is not known"),
        ] {
            assert_eq!(read(text.as_bytes()).unwrap_err(), expected);
        }
        assert_eq!(read(&[b'7'; 5000]).unwrap_err(), "line 1 is longer than 1024 bytes");
        assert!(read(b"7\n\xff\xfe\n").unwrap_err().starts_with("line 2 is not UTF-8"));
        assert!(read(b"\x1f\x8bnot gzip").unwrap_err().starts_with("cannot read line 1"));
    }
}
