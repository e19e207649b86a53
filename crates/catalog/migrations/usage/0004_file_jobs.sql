-- The jobs of files of memberships. Times are milliseconds since 1970. Rows of running jobs follow the log: they are
-- written before the position of the statistics that covers their parts.
CREATE TABLE file_jobs (
    id                     INTEGER PRIMARY KEY AUTOINCREMENT,
    job_id                 TEXT    NOT NULL UNIQUE,
    member_id              BIGINT  NOT NULL,
    replaced               BIGINT,
    phase                  TEXT    NOT NULL,
    error_code             TEXT,
    percent_complete       BIGINT  NOT NULL,
    created_on             BIGINT  NOT NULL,
    last_modified          BIGINT  NOT NULL,
    start_time             BIGINT,
    uploaded_time          BIGINT,
    validated_time         BIGINT,
    completed_time         BIGINT,
    sent_bytes             BIGINT  NOT NULL,
    -- Of the bytes as they were sent: 64 hex digits.
    sha256                 TEXT,
    -- How many of its parts are applied, and how many entries these have.
    parts                  BIGINT  NOT NULL,
    entries                BIGINT  NOT NULL,
    num_valid              BIGINT  NOT NULL,
    num_valid_user         BIGINT  NOT NULL,
    num_invalid_user       BIGINT  NOT NULL,
    num_invalid_format     BIGINT  NOT NULL,
    num_invalid_timestamp  BIGINT  NOT NULL,
    num_other_error        BIGINT  NOT NULL,
    num_invalid_segment    BIGINT  NOT NULL,
    num_unauth_segment     BIGINT  NOT NULL,
    num_inactive_segment   BIGINT  NOT NULL,
    num_past_expiration    BIGINT  NOT NULL
);
CREATE INDEX file_jobs_by_member ON file_jobs (member_id, id);
CREATE INDEX file_jobs_by_age ON file_jobs (created_on);
-- As for the statistics: every value is stored twice, so that damage shows.
CREATE INDEX file_jobs_twice ON file_jobs (
    id, job_id, member_id, replaced, phase, error_code, percent_complete, created_on, last_modified, start_time,
    uploaded_time, validated_time, completed_time, sent_bytes, sha256, parts, entries, num_valid, num_valid_user,
    num_invalid_user, num_invalid_format, num_invalid_timestamp, num_other_error, num_invalid_segment,
    num_unauth_segment, num_inactive_segment, num_past_expiration
);

-- What a job has seen beyond its counts: a JSON object with a checksum (CRC-32C of the text). Rewritten as a whole.
CREATE TABLE file_job_details (
    job      INTEGER PRIMARY KEY REFERENCES file_jobs (id) ON DELETE CASCADE,
    details  TEXT    NOT NULL,
    checksum BIGINT  NOT NULL
);

-- Deletions of people that files which wait must heed. All columns are in the primary key.
CREATE TABLE file_deletions (
    hash       TEXT   NOT NULL,
    member_id  BIGINT NOT NULL,
    deleted_on BIGINT NOT NULL,
    PRIMARY KEY (hash, member_id, deleted_on)
);
