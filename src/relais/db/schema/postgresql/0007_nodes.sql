-- Work that one process of one node does at a time, in an index that several nodes share.
CREATE TABLE lease(
  name text COLLATE "C" PRIMARY KEY,                   -- what is done
  holder text COLLATE "C" NOT NULL,                    -- who does it
  until double precision NOT NULL                      -- when another one may, in seconds since the epoch
);

-- Which programs may use this index: those that know this migration. One that older programs do not survive says so.
CREATE TABLE compatibility(
  id bigint PRIMARY KEY CHECK (id = 1),
  oldest text COLLATE "C" NOT NULL
);
INSERT INTO compatibility(id, oldest) VALUES (1, '0007_nodes');
