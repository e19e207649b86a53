-- Ids that were linked to who has opted out of a member, or came to be while it holds: they are kept out with
-- them, and let in with them. All columns are in the primary key, so every value is stored twice.
CREATE TABLE suppressed_links (
    person    BLOB   NOT NULL,
    member_id BIGINT NOT NULL,
    hash      BLOB   NOT NULL,
    PRIMARY KEY (person, member_id, hash),
    FOREIGN KEY (person, member_id) REFERENCES suppressed_users (hash, member_id) ON DELETE CASCADE
);
