-- The catalog. Times are milliseconds since 1970, expirations are minutes; both are plain integers, so
-- that the statements run on PostgreSQL as they are.

-- Rises in every transaction that changes what a snapshot or the table of tokens shows.
CREATE TABLE generation (
    id    INTEGER PRIMARY KEY CHECK (id = 1),
    value BIGINT  NOT NULL
);
INSERT INTO generation (id, value) VALUES (1, 0);

-- The highest id ever given to a row of a kind. It stays when rows go: an id is never used again.
CREATE TABLE id_high_water (
    kind TEXT   PRIMARY KEY,
    id   BIGINT NOT NULL
);
INSERT INTO id_high_water (kind, id) VALUES ('login', 0), ('segment', 0);

CREATE TABLE members (
    id                  BIGINT  PRIMARY KEY CHECK (id > 0),
    name                TEXT    NOT NULL,
    state               TEXT    NOT NULL CHECK (state IN ('active', 'inactive')),
    default_expiration  BIGINT,
    use_external_uids   BOOLEAN NOT NULL,
    external_member_uid BIGINT  REFERENCES members (id) DEFERRABLE INITIALLY DEFERRED,
    posts_per_second    BIGINT,
    gets_per_second     BIGINT,
    users_per_request   BIGINT,
    users_per_second    BIGINT,
    segments_per_user   BIGINT,
    payload_bytes       BIGINT
);

-- The logins.
CREATE TABLE users (
    id             BIGINT  PRIMARY KEY CHECK (id > 0),
    username       TEXT    NOT NULL,
    username_lower TEXT    NOT NULL UNIQUE,
    password_hash  TEXT    NOT NULL,
    state          TEXT    NOT NULL CHECK (state IN ('active', 'inactive')),
    user_type      TEXT    NOT NULL CHECK (user_type IN ('member', 'bidder', 'admin')),
    read_only      BOOLEAN NOT NULL,
    member_id      BIGINT  NOT NULL REFERENCES members (id)
);

-- A token is known by its SHA-256 alone. A revoked one stays until it expires, so that its holder can be
-- told that the login is switched off.
CREATE TABLE tokens (
    hash      BLOB    PRIMARY KEY,
    user_id   BIGINT  NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    issued_at BIGINT  NOT NULL,
    last_used BIGINT  NOT NULL,
    revoked   BOOLEAN NOT NULL
);
CREATE INDEX tokens_by_user ON tokens (user_id);

-- A deleted segment stays as a row, so that its id is not used again; it gives up `code_lower`, so that
-- its code may be.
CREATE TABLE segments (
    id             BIGINT PRIMARY KEY CHECK (id > 0),
    member_id      BIGINT NOT NULL REFERENCES members (id),
    code           TEXT,
    code_lower     TEXT,
    state          TEXT   NOT NULL CHECK (state IN ('active', 'inactive')),
    short_name     TEXT,
    expire_minutes BIGINT,
    deleted_at     BIGINT,
    last_modified  BIGINT NOT NULL,
    UNIQUE (member_id, code_lower)
);

-- Into whose segments a member may write.
CREATE TABLE segment_access (
    member_id       BIGINT NOT NULL REFERENCES members (id),
    owner_member_id BIGINT NOT NULL REFERENCES members (id),
    PRIMARY KEY (member_id, owner_member_id)
);

-- Whose segments a member may see.
CREATE TABLE sharing (
    data_member_id   BIGINT NOT NULL REFERENCES members (id),
    buyer_member_id  BIGINT NOT NULL REFERENCES members (id),
    segment_exposure TEXT   NOT NULL CHECK (segment_exposure IN ('all', 'list')),
    PRIMARY KEY (data_member_id, buyer_member_id)
);
CREATE TABLE shared_segments (
    data_member_id  BIGINT NOT NULL,
    buyer_member_id BIGINT NOT NULL,
    segment_id      BIGINT NOT NULL REFERENCES segments (id),
    PRIMARY KEY (data_member_id, buyer_member_id, segment_id),
    FOREIGN KEY (data_member_id, buyer_member_id)
        REFERENCES sharing (data_member_id, buyer_member_id) ON DELETE CASCADE
);
CREATE INDEX shared_segments_by_segment ON shared_segments (segment_id);
