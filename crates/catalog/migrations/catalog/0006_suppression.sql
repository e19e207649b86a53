-- Who wants no memberships. Not the ids: a hash of each, under a key that is made once for a data directory.
CREATE TABLE suppression_key (
    id  INTEGER PRIMARY KEY CHECK (id = 1),
    key BLOB    NOT NULL
);
CREATE INDEX suppression_key_twice ON suppression_key (id, key);

-- From whom: a member, or (0) all. All columns are in the primary key, so every value is stored twice.
CREATE TABLE suppressed_users (
    hash      BLOB   NOT NULL,
    member_id BIGINT NOT NULL,
    PRIMARY KEY (hash, member_id)
);
