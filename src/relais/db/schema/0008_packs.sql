-- Series that have fallen quiet: their instances in one blob (index.pack) instead of a row each.
CREATE TABLE series_pack(
  series_fk INTEGER PRIMARY KEY,
  instance_count INTEGER NOT NULL,
  image_count INTEGER NOT NULL,            -- of these, with Pixel Data
  size_bytes INTEGER NOT NULL,
  sop_classes TEXT NOT NULL,               -- numbers of UIDs, with blanks between
  instances BLOB NOT NULL
) STRICT;

-- The metadata documents of a series in one blob: those of its packed instances, or what is left of them.
CREATE TABLE series_documents(
  series_fk INTEGER PRIMARY KEY,
  documents BLOB NOT NULL
) STRICT;

-- Where a packed instance may be: by the beginning of its SOP Instance UID, which many share, and by its id.
CREATE TABLE packed_uid(
  stem INTEGER NOT NULL,
  series_fk INTEGER NOT NULL,
  PRIMARY KEY(stem, series_fk)
) STRICT, WITHOUT ROWID;
CREATE TABLE packed_id(
  block INTEGER NOT NULL,
  series_fk INTEGER NOT NULL,
  PRIMARY KEY(block, series_fk)
) STRICT, WITHOUT ROWID;

-- What is to be packed: series with a change behind this revision, and those that were unpacked.
CREATE TABLE packed_until(
  id INTEGER PRIMARY KEY CHECK (id = 1),
  revision INTEGER NOT NULL
) STRICT;
INSERT INTO packed_until(id, revision) VALUES (1, 0);
CREATE TABLE to_pack(
  series_fk INTEGER PRIMARY KEY,
  at REAL NOT NULL
) STRICT;

-- A pack, and what it lies in.
CREATE VIEW packed_series AS
SELECT series_pack.series_fk, study.study_instance_uid, series.series_instance_uid,
       series.position AS series_position, series_pack.instances
FROM series_pack
JOIN series ON series.id = series_pack.series_fk
JOIN study ON study.id = series.study_fk;

UPDATE compatibility SET oldest = '0008_packs' WHERE oldest < '0008_packs';
