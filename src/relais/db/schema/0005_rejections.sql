-- Rejection notes: one for each deletion, kept for good as the DICOM object that says what is gone and why.
CREATE TABLE rejection(
  id INTEGER PRIMARY KEY,
  sop_instance_uid TEXT NOT NULL UNIQUE,   -- of the note
  study_instance_uid TEXT NOT NULL,
  at REAL NOT NULL,
  reason TEXT NOT NULL,                    -- a code of PS3.16 CID 7011, '' for none
  instances INTEGER NOT NULL,
  document BLOB NOT NULL                   -- a Part 10 file
) STRICT;
CREATE INDEX rejection_study ON rejection(study_instance_uid);

-- Which note names a deleted instance; NULL where none does.
ALTER TABLE deleted ADD COLUMN rejection_fk INTEGER;

-- The name of the change feed: another one means that revisions count anew. Written when it is first asked for.
CREATE TABLE feed(
  id INTEGER PRIMARY KEY CHECK (id = 1),
  name TEXT NOT NULL
) STRICT;
