-- With what is searched, so that a search reads no row that it does not find.
DROP INDEX segments_by_member;
CREATE INDEX segments_by_member ON segments (member_id, id, code_lower, lower(short_name)) WHERE deleted_at IS NULL;
