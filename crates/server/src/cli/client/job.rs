//! A job as the server shows it.

use serde_json::Value;
use std::fmt::{self, Display, Formatter};

/// How many faults are printed; the report has them all.
const SHOWN_LINES: usize = 10;

/// Counters of what was refused, and what they count.
const REFUSED: [(&str, &str); 8] = [
    ("num_invalid_format", "malformed lines"),
    ("num_invalid_user", "users with an invalid id"),
    ("num_invalid_timestamp", "memberships with an invalid timestamp"),
    ("num_past_expiration", "segments whose memberships had ended"),
    ("num_invalid_segment", "unknown segments"),
    ("num_unauth_segment", "segments that the member may not write"),
    ("num_inactive_segment", "inactive segments"),
    ("num_other_error", "other faults"),
];

/// A `batch_segment_upload_job`.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::cli) struct Job(Value);

impl Job {
    /// From the body of an answer: one object, or an array of one.
    pub(in crate::cli) fn from_response(mut response: Value) -> Option<Job> {
        let job = match response.get_mut("batch_segment_upload_job")?.take() {
            Value::Array(jobs) => jobs.into_iter().next()?,
            job => job,
        };
        // The id becomes a part of a URL and of a file's name.
        let id = job.get("job_id")?.as_str()?;
        let is_plain = !id.is_empty()
            && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_');
        is_plain.then_some(Job(job))
    }

    /// A job of which the server tells nothing any more.
    pub(in crate::cli) fn failed(job_id: &str, why: &str) -> Job {
        Job(serde_json::json!({"job_id": job_id, "phase": "error", "error": why}))
    }

    /// Adds why its file was refused, where the server only said that to the upload.
    pub(in crate::cli) fn with_error(mut self, why: &str) -> Job {
        if let Some(job) = self.0.as_object_mut() {
            job.insert("error".to_owned(), why.into());
        }
        self
    }

    pub(in crate::cli) fn id(&self) -> &str {
        self.text("job_id")
    }

    pub(in crate::cli) fn upload_url(&self) -> Option<&str> {
        self.0["upload_url"].as_str()
    }

    pub(in crate::cli) fn phase(&self) -> &str {
        self.text("phase")
    }

    pub(in crate::cli) fn error_code(&self) -> &str {
        self.text("error_code")
    }

    pub(in crate::cli) fn percent(&self) -> u64 {
        self.count("percent_complete")
    }

    pub(in crate::cli) fn is_completed(&self) -> bool {
        self.phase() == "completed"
    }

    pub(in crate::cli) fn has_ended(&self) -> bool {
        self.is_completed() || self.phase() == "error"
    }

    /// The server did not get the whole file, and would not refuse the same file again because of its size. Then it
    /// has applied nothing, and a new job may be tried.
    pub(in crate::cli) fn upload_broke(&self) -> bool {
        self.phase() == "error"
            && self.0["uploaded_time"].is_null()
            && self.error_code() != "FILESIZE_LIMIT_EXCEEDED"
    }

    /// Whether anything in the file was refused.
    pub(in crate::cli) fn has_refused(&self) -> bool {
        REFUSED.iter().any(|(counter, _)| self.count(counter) > 0)
    }

    /// As the server gave it, for a report.
    pub(in crate::cli) fn report(&self) -> Vec<u8> {
        let mut text = serde_json::to_vec_pretty(&self.0).expect("a value is written as JSON");
        text.push(b'\n');
        text
    }

    /// What was applied, in a line.
    pub(in crate::cli) fn applied(&self) -> String {
        format!("{} memberships of {} users", self.count("num_valid"), self.count("num_valid_user"))
    }

    /// What was refused, in a line. It names no user.
    pub(in crate::cli) fn refused(&self) -> String {
        let counts = REFUSED.iter().map(|(counter, what)| (self.count(counter), what));
        let kinds: Vec<_> =
            counts.filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}")).collect();
        if kinds.is_empty() { "nothing".to_owned() } else { kinds.join(", ") }
    }

    fn text(&self, field: &str) -> &str {
        self.0[field].as_str().unwrap_or("")
    }

    fn count(&self, counter: &str) -> u64 {
        self.0[counter].as_u64().unwrap_or(0)
    }
}

/// The outcome, for the one who has the file: the faulty lines hold ids of users.
impl Display for Job {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(f, "job {}: {}", self.id(), self.phase())?;
        for cause in [self.error_code(), self.text("error")] {
            if !cause.is_empty() {
                writeln!(f, "error: {cause}")?;
            }
        }
        writeln!(f, "applied: {}", self.applied())?;
        writeln!(f, "refused: {}", self.refused())?;
        for (title, lines) in
            [("segments, by users", self.text("segment_log_lines")), ("faults", self.text("error_log_lines"))]
        {
            let lines: Vec<_> = lines.lines().collect();
            if !lines.is_empty() {
                writeln!(f, "{title}:")?;
            }
            for line in lines.iter().take(SHOWN_LINES) {
                writeln!(f, "  {line}")?;
            }
            if lines.len() > SHOWN_LINES {
                writeln!(f, "  and {} more", lines.len() - SHOWN_LINES)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn job(fields: Value) -> Job {
        let mut job = json!({"job_id": "J", "phase": "completed"});
        job.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        Job::from_response(json!({"batch_segment_upload_job": job})).unwrap()
    }

    #[test]
    fn a_job_is_read_from_an_object_or_an_array_of_one() {
        for response in [
            json!({"batch_segment_upload_job": {"job_id": "J", "phase": "starting"}}),
            json!({"batch_segment_upload_job": [{"job_id": "J", "phase": "starting"}]}),
        ] {
            assert_eq!(Job::from_response(response).unwrap().phase(), "starting");
        }
        for response in [
            json!({}),
            json!({"batch_segment_upload_job": []}),
            json!({"batch_segment_upload_job": {}}),
            json!({"batch_segment_upload_job": {"job_id": "../x"}}),
        ] {
            assert_eq!(Job::from_response(response), None);
        }
    }

    #[test]
    fn an_upload_that_broke_is_told_from_a_file_that_is_refused() {
        for code in ["uploading-error", "RATE_LIMIT_EXCEEDED"] {
            assert!(job(json!({"phase": "error", "error_code": code})).upload_broke());
        }
        for fields in [
            json!({"phase": "error", "error_code": "FILESIZE_LIMIT_EXCEEDED"}),
            json!({"phase": "error", "error_code": "validating-error", "uploaded_time": "2026-01-01 00:00:00"}),
            json!({"phase": "processing"}),
        ] {
            assert!(!job(fields).upload_broke());
        }
    }

    #[test]
    fn the_outcome_is_printed_for_people() {
        let lines: Vec<_> = (0..12).map(|n| format!("num_invalid_format-x{n}")).collect();
        let text = job(
            json!({"num_valid": 9, "num_valid_user": 4, "num_invalid_format": 12, "num_inactive_segment": 1,
            "error_code": null, "segment_log_lines": "12:3\n13:1", "error_log_lines": lines.join("\n")}),
        )
        .to_string();
        let start = "job J: completed\napplied: 9 memberships of 4 users\nrefused: 12 malformed lines, 1 inactive \
                     segments\nsegments, by users:\n  12:3\n  13:1\nfaults:\n  num_invalid_format-x0\n";
        assert!(text.starts_with(start), "{text}");
        assert!(text.ends_with("  num_invalid_format-x9\n  and 2 more\n"), "{text}");
    }
}
