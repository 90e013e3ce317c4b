-- Work that one process of one node does at a time, in an index that several nodes share.
CREATE TABLE lease(
  name TEXT PRIMARY KEY,                   -- what is done
  holder TEXT NOT NULL,                    -- who does it
  until REAL NOT NULL                      -- when another one may, in seconds since the epoch
) STRICT, WITHOUT ROWID;

-- Which programs may use this index: those that know this migration. One that older programs do not survive says so.
CREATE TABLE compatibility(
  id INTEGER PRIMARY KEY CHECK (id = 1),
  oldest TEXT NOT NULL
) STRICT;
INSERT INTO compatibility(id, oldest) VALUES (1, '0007_nodes');
