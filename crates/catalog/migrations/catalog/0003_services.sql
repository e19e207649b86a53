-- What the segment service keeps of a segment beside what the hot path needs. The three JSON texts are kept as
-- they were understood, for who reads them back.
ALTER TABLE segments ADD COLUMN description                   TEXT;
ALTER TABLE segments ADD COLUMN advertiser_id                 BIGINT;
ALTER TABLE segments ADD COLUMN parent_segment_id             BIGINT;
ALTER TABLE segments ADD COLUMN enable_rm_piggyback           BOOLEAN NOT NULL DEFAULT TRUE;
ALTER TABLE segments ADD COLUMN max_usersync_pixels           BIGINT;
ALTER TABLE segments ADD COLUMN piggyback_pixels              TEXT;
ALTER TABLE segments ADD COLUMN querystring_mapping           TEXT;
ALTER TABLE segments ADD COLUMN querystring_mapping_key_value TEXT;
ALTER TABLE segments ADD COLUMN price                         DOUBLE PRECISION NOT NULL DEFAULT 0;

DROP INDEX segments_twice;
CREATE INDEX segments_twice ON segments (
    id, member_id, code, code_lower, state, short_name, expire_minutes, deleted_at, last_modified, description,
    advertiser_id, parent_segment_id, enable_rm_piggyback, max_usersync_pixels, piggyback_pixels,
    querystring_mapping, querystring_mapping_key_value, price
);

-- Times are shown and filtered by the second.
UPDATE segments SET last_modified = last_modified / 1000 * 1000;

-- The usual lists of a member's segments, and how many there are.
CREATE INDEX segments_by_state ON segments (member_id, state, id) WHERE deleted_at IS NULL;
CREATE INDEX segments_by_member ON segments (member_id, id) WHERE deleted_at IS NULL;
CREATE INDEX segments_by_name ON segments (member_id, lower(short_name), id) WHERE deleted_at IS NULL;
CREATE INDEX segments_by_change ON segments (member_id, last_modified, id) WHERE deleted_at IS NULL;
