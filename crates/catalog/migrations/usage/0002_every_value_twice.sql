-- Every number is stored twice: in its row, and in an index over all columns. SQLite has no checksums; with
-- this, a number that the disk has changed is one that row and index disagree about, and an integrity check
-- finds it.
CREATE INDEX usage_position_twice ON usage_position (id, position);
CREATE INDEX usage_hours_twice ON usage_hours (
    member_id, hour_start, valid_users, invalid_users, valid_adds, valid_removes, unauth_segments,
    inactive_segments, invalid_segments, other_errors, error_lines, segment_lines
);
-- Lines are long and are written once: they have a checksum (CRC-32C of the text). Rows from before have
-- none.
ALTER TABLE usage_lines ADD COLUMN checksum BIGINT;
