-- Keys that the site declared, besides those of the table of attributes, and how far studies or series are listed.
CREATE TABLE search_key(
  tag bigint PRIMARY KEY,
  level text COLLATE "C" NOT NULL,                     -- STUDY or SERIES; '' while it is being forgotten
  filled_to bigint NOT NULL,              -- rows up to this id are listed
  is_filled bigint NOT NULL               -- 1: all are; only then it is searched by
);

-- What a study or series says of these keys, a row for each value. "start" is its beginning: what an index can hold.
CREATE TABLE study_key(
  tag bigint NOT NULL,
  start text COLLATE "C" NOT NULL,
  row_fk bigint NOT NULL,
  item bigint NOT NULL,
  value text COLLATE "C" NOT NULL,
  PRIMARY KEY(tag, start, row_fk, item)
);
CREATE INDEX study_key_study ON study_key(row_fk, tag);
CREATE TABLE series_key(
  tag bigint NOT NULL,
  start text COLLATE "C" NOT NULL,
  row_fk bigint NOT NULL,
  item bigint NOT NULL,
  value text COLLATE "C" NOT NULL,
  PRIMARY KEY(tag, start, row_fk, item)
);
CREATE INDEX series_key_series ON series_key(row_fk, tag);
