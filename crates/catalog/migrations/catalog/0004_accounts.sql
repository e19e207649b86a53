-- What the API's services keep of members, logins and sharing beside what the hot path needs.

ALTER TABLE members ADD COLUMN last_modified BIGINT;

ALTER TABLE users ADD COLUMN email TEXT;
ALTER TABLE users ADD COLUMN first_name TEXT;
ALTER TABLE users ADD COLUMN last_name TEXT;
ALTER TABLE users ADD COLUMN last_modified BIGINT;

-- A sharing has an id, as other objects have. Those that are there get theirs in the order of their members.
ALTER TABLE sharing ADD COLUMN id BIGINT NOT NULL DEFAULT 0;
ALTER TABLE sharing ADD COLUMN last_modified BIGINT;
UPDATE sharing SET id = (
    SELECT count(*) FROM sharing AS other
    WHERE other.data_member_id < sharing.data_member_id
       OR (other.data_member_id = sharing.data_member_id AND other.buyer_member_id <= sharing.buyer_member_id)
);
CREATE UNIQUE INDEX sharing_by_id ON sharing (id);
INSERT INTO id_high_water (kind, id) SELECT 'sharing', count(*) FROM sharing;

-- How a member's files of memberships are laid out. Members without a row have the usual layout.
CREATE TABLE batch_files (
    member_id                BIGINT PRIMARY KEY REFERENCES members (id),
    separator_1              TEXT   NOT NULL,
    separator_2              TEXT   NOT NULL,
    separator_3              TEXT   NOT NULL,
    separator_4              TEXT   NOT NULL,
    separator_5              TEXT   NOT NULL,
    segment_fields           TEXT   NOT NULL,
    hourly_byte_limit        BIGINT,
    hourly_num_lines_limit   BIGINT,
    daily_byte_limit         BIGINT,
    daily_num_lines_limit    BIGINT,
    max_concurrent_uploads   BIGINT,
    num_error_log_lines      BIGINT,
    num_invalid_before_error BIGINT,
    last_modified            BIGINT NOT NULL
);

DROP INDEX members_twice;
CREATE INDEX members_twice ON members (
    id, name, state, default_expiration, use_external_uids, external_member_uid, posts_per_second,
    gets_per_second, users_per_request, users_per_second, segments_per_user, payload_bytes, last_modified
);
DROP INDEX users_twice;
CREATE INDEX users_twice ON users (
    id, username, username_lower, password_hash, state, user_type, read_only, member_id, email, first_name,
    last_name, last_modified
);
DROP INDEX sharing_twice;
CREATE INDEX sharing_twice ON sharing (data_member_id, buyer_member_id, segment_exposure, id, last_modified);
CREATE INDEX batch_files_twice ON batch_files (
    member_id, separator_1, separator_2, separator_3, separator_4, separator_5, segment_fields,
    hourly_byte_limit, hourly_num_lines_limit, daily_byte_limit, daily_num_lines_limit,
    max_concurrent_uploads, num_error_log_lines, num_invalid_before_error, last_modified
);
