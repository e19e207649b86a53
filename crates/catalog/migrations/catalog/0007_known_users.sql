-- The ids that strict mode knows, as keyed hashes of 64 bits: a list that only grows. A block holds up to 500 of
-- them, big-endian; all blocks but the last are full. `crc` is the CRC-32C of the block's number (8 bytes,
-- big-endian) and its hashes, and stands for the second copy that other tables keep in an index.
CREATE TABLE known_user_blocks (
    block  INTEGER PRIMARY KEY CHECK (block > 0),
    hashes BLOB    NOT NULL,
    crc    BIGINT  NOT NULL
);

-- What the hashes are keyed with: 32 random bytes, made when they are first needed.
CREATE TABLE known_user_key (
    id  INTEGER PRIMARY KEY CHECK (id = 1),
    key BLOB    NOT NULL
);
CREATE INDEX known_user_key_twice ON known_user_key (id, key);
