-- Every value is stored twice: in its row, and in an index over all columns. SQLite has no checksums; with
-- this, a value that the disk has changed is one that row and index disagree about, and an integrity check
-- finds it. segment_access and shared_segments have all their columns in their primary keys, which are such
-- indexes.
CREATE INDEX generation_twice ON generation (id, value);
CREATE INDEX id_high_water_twice ON id_high_water (kind, id);
CREATE INDEX members_twice ON members (
    id, name, state, default_expiration, use_external_uids, external_member_uid, posts_per_second,
    gets_per_second, users_per_request, users_per_second, segments_per_user, payload_bytes
);
CREATE INDEX users_twice ON users (
    id, username, username_lower, password_hash, state, user_type, read_only, member_id
);
CREATE INDEX tokens_twice ON tokens (hash, user_id, issued_at, last_used, revoked);
CREATE INDEX segments_twice ON segments (
    id, member_id, code, code_lower, state, short_name, expire_minutes, deleted_at, last_modified
);
CREATE INDEX sharing_twice ON sharing (data_member_id, buyer_member_id, segment_exposure);
