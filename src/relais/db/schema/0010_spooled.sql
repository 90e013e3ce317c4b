-- Stored objects that wait in the spool of one node for the object store to take them.
CREATE TABLE spooled(
  key TEXT PRIMARY KEY,                    -- as instance.key
  node TEXT NOT NULL,                      -- where: the machine and the folder
  at REAL NOT NULL                         -- since when, in seconds since the epoch
) STRICT, WITHOUT ROWID;

-- Series with objects that lie in slow storage, as far as a listing or a reader has found it.
CREATE TABLE nearline(
  study_instance_uid TEXT NOT NULL,
  series_instance_uid TEXT NOT NULL,
  at REAL NOT NULL,
  PRIMARY KEY (study_instance_uid, series_instance_uid)
) STRICT, WITHOUT ROWID;
