-- Ids that are to be taken out of the lines, of one member or (0) of all. A row is gone when that is done. All
-- columns are in the primary key, so every value is stored twice.
CREATE TABLE usage_erased (
    member_id BIGINT NOT NULL,
    id        TEXT   NOT NULL,
    PRIMARY KEY (member_id, id)
);
