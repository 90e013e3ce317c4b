-- Stored objects that wait in the spool of one node for the object store to take them.
CREATE TABLE spooled(
  key text COLLATE "C" PRIMARY KEY,        -- as instance.key
  node text NOT NULL,                      -- where: the machine and the folder
  at double precision NOT NULL             -- since when, in seconds since the epoch
);

-- Series with objects that lie in slow storage, as far as a listing or a reader has found it.
CREATE TABLE nearline(
  study_instance_uid text NOT NULL,
  series_instance_uid text NOT NULL,
  at double precision NOT NULL,
  PRIMARY KEY (study_instance_uid, series_instance_uid)
);
