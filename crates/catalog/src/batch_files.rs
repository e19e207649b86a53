/// The layout of a member's files of memberships, and the limits on them; `None` is no limit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BatchFiles {
    /// What they separate, from the first: the user from its segments, two segments, the fields of a segment, the
    /// additions from the removals, and the domain. New ones are one character each, and only the first and the third
    /// may be the same; earlier versions also took up to ten characters, `|`, `*` and the like.
    pub separators: [String; 5],
    /// The fields of a segment's block, out of [`SEGMENT_FIELDS`](crate::SEGMENT_FIELDS).
    pub segment_fields: Vec<String>,
    /// Bytes an hour.
    pub hourly_byte_limit: Option<u64>,
    /// Lines an hour.
    pub hourly_num_lines_limit: Option<u64>,
    /// Bytes a day.
    pub daily_byte_limit: Option<u64>,
    /// Lines a day.
    pub daily_num_lines_limit: Option<u64>,
    /// Files at once.
    pub max_concurrent_uploads: Option<u64>,
    /// Lines of an error report.
    pub num_error_log_lines: Option<u64>,
    /// Invalid lines before a file is given up.
    pub num_invalid_before_error: Option<u64>,
    /// When it was last changed, in milliseconds since 1970.
    pub last_modified_ms: u64,
}

impl Default for BatchFiles {
    fn default() -> BatchFiles {
        BatchFiles {
            separators: [":", ";", ",", "#", "^"].map(str::to_owned),
            segment_fields: ["SEG_ID", "EXPIRATION", "VALUE"].map(str::to_owned).to_vec(),
            hourly_byte_limit: None,
            hourly_num_lines_limit: None,
            daily_byte_limit: None,
            daily_num_lines_limit: None,
            max_concurrent_uploads: None,
            num_error_log_lines: None,
            num_invalid_before_error: None,
            last_modified_ms: 0,
        }
    }
}
