-- The usage statistics. Times are milliseconds since 1970.

-- The position of the log that the counters cover: it moves in the transaction that adds to them.
CREATE TABLE usage_position (
    id       INTEGER PRIMARY KEY CHECK (id = 1),
    position BIGINT  NOT NULL
);
INSERT INTO usage_position (id, position) VALUES (1, 0);

CREATE TABLE usage_hours (
    member_id         BIGINT NOT NULL,
    hour_start        BIGINT NOT NULL,
    valid_users       BIGINT NOT NULL,
    invalid_users     BIGINT NOT NULL,
    valid_adds        BIGINT NOT NULL,
    valid_removes     BIGINT NOT NULL,
    unauth_segments   BIGINT NOT NULL,
    inactive_segments BIGINT NOT NULL,
    invalid_segments  BIGINT NOT NULL,
    other_errors      BIGINT NOT NULL,
    -- How many lines of each kind there ever were: the number of the next one.
    error_lines       BIGINT NOT NULL,
    segment_lines     BIGINT NOT NULL,
    PRIMARY KEY (member_id, hour_start)
);
CREATE INDEX usage_hours_by_age ON usage_hours (hour_start);

-- The lines that one commit brought: `lines` is a JSON array of `count` strings, the first of them is line
-- `number` of its hour and kind. One row for many lines, because a commit touches every busy member.
CREATE TABLE usage_lines (
    member_id  BIGINT NOT NULL,
    hour_start BIGINT NOT NULL,
    kind       TEXT   NOT NULL CHECK (kind IN ('error', 'segment')),
    number     BIGINT NOT NULL,
    count      BIGINT NOT NULL,
    lines      TEXT   NOT NULL,
    PRIMARY KEY (member_id, hour_start, kind, number),
    FOREIGN KEY (member_id, hour_start) REFERENCES usage_hours (member_id, hour_start) ON DELETE CASCADE
);
