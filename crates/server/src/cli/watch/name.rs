//! Names of files.

/// What the watcher itself writes beside a file that it works on: `.<name>.job`.
pub(super) fn of_note(name: &str) -> String {
    format!(".{name}.job")
}

/// The file to which a note belongs.
pub(super) fn noted_by(name: &str) -> Option<&str> {
    name.strip_prefix('.')?.strip_suffix(".job").filter(|name| !name.is_empty())
}

/// Whether a file of that name is sent. Hidden ones, those that are still being written by their name, and reports are
/// not.
pub(super) fn is_taken(name: &str) -> bool {
    let lower = name.to_ascii_lowercase();
    !name.starts_with('.') && ![".tmp", ".part", ".report.json"].iter().any(|end| lower.ends_with(end))
}

/// With the job's id before the extension.
pub(super) fn with_job(name: &str, job_id: &str) -> String {
    match name.rsplit_once('.') {
        Some((stem, extension)) if !stem.is_empty() => format!("{stem}.{job_id}.{extension}"),
        _ => format!("{name}.{job_id}"),
    }
}

/// The report beside a file.
pub(super) fn of_report(moved: &str) -> String {
    format!("{moved}.report.json")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_says_what_is_taken() {
        for taken in ["a", "a.txt", "a.txt.gz", "a.avro", "tmp", "part", "a.json", "a b;c.txt"] {
            assert!(is_taken(taken), "{taken}");
        }
        for not in [".a", ".a.job", "a.tmp", "a.TMP", "a.part", "a.txt.part", "a.txt.report.json"] {
            assert!(!is_taken(not), "{not}");
        }
        assert_eq!(noted_by(&of_note("a.txt")), Some("a.txt"));
        assert_eq!(noted_by(".job"), None);
    }

    #[test]
    fn the_job_stands_before_the_extension() {
        assert_eq!(with_job("a.txt", "J"), "a.J.txt");
        assert_eq!(with_job("a.b.txt", "J"), "a.b.J.txt");
        assert_eq!(with_job("a", "J"), "a.J");
    }
}
