-- Where a member's pixels may redirect browsers, beside the server's own list: hosts with spaces between them.
ALTER TABLE members ADD COLUMN redirect_hosts TEXT NOT NULL DEFAULT '';

DROP INDEX members_twice;
CREATE INDEX members_twice ON members (
    id, name, state, default_expiration, use_external_uids, external_member_uid, posts_per_second,
    gets_per_second, users_per_request, users_per_second, segments_per_user, payload_bytes, last_modified,
    redirect_hosts
);
