-- Keys that the site declared, besides those of the table of attributes, and how far studies or series are listed.
CREATE TABLE search_key(
  tag INTEGER PRIMARY KEY,
  level TEXT NOT NULL,                     -- STUDY or SERIES; '' while it is being forgotten
  filled_to INTEGER NOT NULL,              -- rows up to this id are listed
  is_filled INTEGER NOT NULL               -- 1: all are; only then it is searched by
) STRICT;

-- What a study or series says of these keys, a row for each value. "start" is its beginning: what an index can hold.
CREATE TABLE study_key(
  tag INTEGER NOT NULL,
  start TEXT NOT NULL,
  row_fk INTEGER NOT NULL,
  item INTEGER NOT NULL,
  value TEXT NOT NULL,
  PRIMARY KEY(tag, start, row_fk, item)
) STRICT, WITHOUT ROWID;
CREATE INDEX study_key_study ON study_key(row_fk, tag);
CREATE TABLE series_key(
  tag INTEGER NOT NULL,
  start TEXT NOT NULL,
  row_fk INTEGER NOT NULL,
  item INTEGER NOT NULL,
  value TEXT NOT NULL,
  PRIMARY KEY(tag, start, row_fk, item)
) STRICT, WITHOUT ROWID;
CREATE INDEX series_key_series ON series_key(row_fk, tag);
