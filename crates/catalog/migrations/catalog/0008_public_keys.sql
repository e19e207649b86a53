-- The public keys of logins: what a signed token is checked with. `spki` is DER, checked when it was stored.
CREATE TABLE public_keys (
    id         BIGINT  PRIMARY KEY CHECK (id > 0),
    user_id    BIGINT  NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    name       TEXT    NOT NULL,
    active     BOOLEAN NOT NULL,
    spki       BLOB    NOT NULL,
    created_at BIGINT  NOT NULL,
    UNIQUE (user_id, name)
);
CREATE INDEX public_keys_twice ON public_keys (id, user_id, name, active, spki, created_at);
INSERT INTO id_high_water (kind, id) VALUES ('public_key', 0);

-- Through which key a token was issued; a password leaves it empty. It may name a key that is gone.
ALTER TABLE tokens ADD COLUMN public_key_id BIGINT;
DROP INDEX tokens_twice;
CREATE INDEX tokens_twice ON tokens (hash, user_id, issued_at, last_used, revoked, public_key_id);
