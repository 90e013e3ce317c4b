-- The index: what is searched has a column, what is answered lies as packed DICOM JSON in "attributes".
-- Text columns are '' where the attribute is empty and number columns NULL. Dates are yyyymmdd, times hhmmssffffff, and
-- what is no date or time is kept after a question mark, which sorts behind every digit. What has no number has the
-- last position in its series or study.

-- Every distinct person name, folded, by component group (PS3.5 6.2.1.1). Searches match names here first.
CREATE TABLE person_name(
  id INTEGER PRIMARY KEY,
  alphabetic TEXT NOT NULL,
  ideographic TEXT NOT NULL,
  phonetic TEXT NOT NULL,
  UNIQUE(alphabetic, ideographic, phonetic)
) STRICT;
CREATE INDEX person_name_ideographic ON person_name(ideographic) WHERE ideographic <> '';
CREATE INDEX person_name_phonetic ON person_name(phonetic) WHERE phonetic <> '';
CREATE VIRTUAL TABLE person_name_trigram USING fts5(
  alphabetic, ideographic, phonetic,
  content='person_name', content_rowid='id', tokenize='trigram case_sensitive 1', columnsize=0
);
-- The words of each name, for fuzzy matching by the beginnings of words.
CREATE TABLE person_name_word(
  word TEXT NOT NULL,
  name_fk INTEGER NOT NULL,
  PRIMARY KEY(word, name_fk)
) STRICT, WITHOUT ROWID;

CREATE INDEX person_name_word_name ON person_name_word(name_fk);

-- SOP Class and Transfer Syntax UIDs, once each.
CREATE TABLE uid(
  id INTEGER PRIMARY KEY,
  uid TEXT NOT NULL UNIQUE
) STRICT;

-- Who brought instances, once each.
CREATE TABLE origin(
  id INTEGER PRIMARY KEY,
  channel TEXT NOT NULL,
  address TEXT NOT NULL,
  calling_ae_title TEXT NOT NULL,
  called_ae_title TEXT NOT NULL,
  user TEXT NOT NULL,
  UNIQUE(channel, address, calling_ae_title, called_ae_title, user)
) STRICT;

-- How many studies each patient has, so that patients are counted without looking at studies.
CREATE TABLE patient(
  patient_id TEXT NOT NULL,
  issuer_of_patient_id TEXT NOT NULL,
  study_count INTEGER NOT NULL,
  PRIMARY KEY(patient_id, issuer_of_patient_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE study(
  id INTEGER PRIMARY KEY,
  study_instance_uid TEXT NOT NULL UNIQUE,
  date_time INTEGER NOT NULL,              -- yyyymmddhhmmss of Study Date and Time; 0 without a date: sorts last
  patient_id TEXT NOT NULL,
  issuer_of_patient_id TEXT NOT NULL,
  patient_name INTEGER,
  patient_birth_date TEXT NOT NULL,
  patient_sex TEXT NOT NULL,
  study_date TEXT NOT NULL,
  study_time TEXT NOT NULL,
  accession_number TEXT NOT NULL,
  study_id TEXT NOT NULL,                  -- the attribute Study ID (0020,0010)
  referring_physician_name INTEGER,
  study_description TEXT NOT NULL,
  modalities TEXT NOT NULL DEFAULT '',     -- of its series, sorted, with backslashes between
  series_count INTEGER NOT NULL DEFAULT 0,
  instance_count INTEGER NOT NULL DEFAULT 0,
  size_bytes INTEGER NOT NULL DEFAULT 0,
  created_at REAL NOT NULL,
  updated_at REAL NOT NULL,
  revision INTEGER NOT NULL DEFAULT 0,
  present INTEGER NOT NULL,                -- a bit for each attribute that has a value
  attributes BLOB NOT NULL
) STRICT;
CREATE INDEX study_date_time ON study(date_time);
CREATE INDEX study_patient_id ON study(patient_id, issuer_of_patient_id, date_time);
CREATE INDEX study_patient_name ON study(patient_name, date_time);
CREATE INDEX study_referring_physician_name ON study(referring_physician_name, date_time);
CREATE INDEX study_accession_number ON study(accession_number, date_time);
CREATE INDEX study_study_id ON study(study_id);
CREATE INDEX study_patient_birth_date ON study(patient_birth_date);
-- For patterns that do not begin with a letter: viewers put stars around what people type.
CREATE VIRTUAL TABLE study_trigram USING fts5(
  patient_id, accession_number, study_description,
  content='study', content_rowid='id', tokenize='trigram case_sensitive 1', columnsize=0
);

CREATE TABLE study_modality(
  modality TEXT NOT NULL,
  date_time INTEGER NOT NULL,
  study_fk INTEGER NOT NULL,
  PRIMARY KEY(modality, date_time, study_fk)
) STRICT, WITHOUT ROWID;
CREATE INDEX study_modality_study ON study_modality(study_fk);

CREATE TABLE study_sop_class(
  study_fk INTEGER NOT NULL,
  sop_class_uid INTEGER NOT NULL,
  PRIMARY KEY(study_fk, sop_class_uid)
) STRICT, WITHOUT ROWID;
CREATE INDEX study_sop_class_uid ON study_sop_class(sop_class_uid, study_fk);

CREATE TABLE series(
  id INTEGER PRIMARY KEY,
  study_fk INTEGER NOT NULL,
  series_instance_uid TEXT NOT NULL,
  modality TEXT NOT NULL,
  series_number ANY,
  series_description TEXT NOT NULL,
  series_date TEXT NOT NULL,
  series_time TEXT NOT NULL,
  performed_procedure_step_start_date TEXT NOT NULL,
  performed_procedure_step_start_time TEXT NOT NULL,
  body_part_examined TEXT NOT NULL,
  laterality TEXT NOT NULL,
  manufacturer TEXT NOT NULL,
  manufacturer_model_name TEXT NOT NULL,
  station_name TEXT NOT NULL,
  institution_name TEXT NOT NULL,
  position INTEGER GENERATED ALWAYS AS (cast(coalesce(series_number, 4611686018427387904) AS INTEGER)) VIRTUAL,
  instance_count INTEGER NOT NULL DEFAULT 0,
  size_bytes INTEGER NOT NULL DEFAULT 0,
  created_at REAL NOT NULL,
  updated_at REAL NOT NULL,
  revision INTEGER NOT NULL DEFAULT 0,
  present INTEGER NOT NULL,
  attributes BLOB NOT NULL,
  UNIQUE(series_instance_uid, study_fk)    -- a UID that two studies use stays two series
) STRICT;
CREATE INDEX series_study ON series(study_fk, position);

-- One row for each Item of the Request Attributes Sequence (0040,0275).
CREATE TABLE series_request(
  series_fk INTEGER NOT NULL,
  item INTEGER NOT NULL,
  scheduled_procedure_step_id TEXT NOT NULL,
  requested_procedure_id TEXT NOT NULL,
  study_instance_uid TEXT NOT NULL,
  accession_number TEXT NOT NULL,
  PRIMARY KEY(series_fk, item)
) STRICT, WITHOUT ROWID;
CREATE INDEX series_request_accession ON series_request(accession_number) WHERE accession_number <> '';
CREATE INDEX series_request_step ON series_request(scheduled_procedure_step_id) WHERE scheduled_procedure_step_id <> '';
CREATE INDEX series_request_procedure ON series_request(requested_procedure_id) WHERE requested_procedure_id <> '';

CREATE TABLE instance(
  id INTEGER PRIMARY KEY,                  -- the revision that stored it first: never used twice
  series_fk INTEGER NOT NULL,
  sop_instance_uid TEXT NOT NULL,
  sop_class_uid INTEGER NOT NULL,
  transfer_syntax_uid INTEGER NOT NULL,
  origin_fk INTEGER NOT NULL,
  instance_number ANY,
  "rows" ANY,
  "columns" ANY,
  bits_allocated ANY,
  number_of_frames ANY,
  content_date TEXT NOT NULL,
  content_time TEXT NOT NULL,
  position INTEGER GENERATED ALWAYS AS (cast(coalesce(instance_number, 4611686018427387904) AS INTEGER)) VIRTUAL,
  key TEXT NOT NULL,                       -- the storage key, its UIDs replaced by marks
  size_bytes INTEGER NOT NULL,
  digest BLOB NOT NULL,
  head_digest BLOB NOT NULL,
  dataset_offset INTEGER NOT NULL,
  pixel_offset INTEGER,
  frame_table BLOB,
  stored_at REAL NOT NULL,
  revision INTEGER NOT NULL,
  attributes BLOB NOT NULL,
  UNIQUE(sop_instance_uid, series_fk)
) STRICT;
CREATE INDEX instance_series ON instance(series_fk, position);
CREATE INDEX instance_foreign_key ON instance(key) WHERE instr(key, char(3)) = 0;  -- keys that name no UID

-- Ready-made DICOM JSON metadata of an instance (PS3.18 F), compressed.
CREATE TABLE instance_json(
  instance_fk INTEGER PRIMARY KEY,
  document BLOB NOT NULL
) STRICT;

-- The change feed. The instance's UIDs are in "instance" while it lives, in "deleted" afterwards.
CREATE TABLE change(
  revision INTEGER PRIMARY KEY,
  at REAL NOT NULL,
  kind TEXT NOT NULL,
  instance_fk INTEGER NOT NULL
) STRICT;
CREATE TABLE deleted(
  instance_fk INTEGER PRIMARY KEY,
  study_instance_uid TEXT NOT NULL,
  series_instance_uid TEXT NOT NULL,
  sop_instance_uid TEXT NOT NULL,
  key TEXT NOT NULL
) STRICT;
CREATE INDEX deleted_key ON deleted(key);
CREATE INDEX deleted_uids ON deleted(study_instance_uid, series_instance_uid, sop_instance_uid);

-- Bytes of instances that were replaced under their UID: history, served to nobody.
CREATE TABLE superseded(
  key TEXT PRIMARY KEY,
  instance_fk INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX superseded_instance ON superseded(instance_fk);

-- One row: what the index holds, and the newest revision.
CREATE TABLE totals(
  id INTEGER PRIMARY KEY CHECK (id = 1),
  patients INTEGER NOT NULL,
  studies INTEGER NOT NULL,
  series INTEGER NOT NULL,
  instances INTEGER NOT NULL,
  size_bytes INTEGER NOT NULL,
  revision INTEGER NOT NULL
) STRICT;
INSERT INTO totals VALUES (1, 0, 0, 0, 0, 0, 0);

CREATE TABLE audit(
  id INTEGER PRIMARY KEY,
  at REAL NOT NULL,
  action TEXT NOT NULL,
  protocol TEXT NOT NULL,
  name TEXT NOT NULL,
  address TEXT NOT NULL,
  study_instance_uid TEXT NOT NULL,
  detail TEXT NOT NULL
) STRICT;
CREATE INDEX audit_study ON audit(study_instance_uid, id) WHERE study_instance_uid <> '';

-- An instance with everything that its retrieval needs.
CREATE VIEW instance_row AS
SELECT instance.id, instance.series_fk, series.study_fk,
       study.study_instance_uid, series.series_instance_uid, instance.sop_instance_uid,
       class.uid AS sop_class_uid, syntax.uid AS transfer_syntax_uid,
       instance.instance_number, instance.number_of_frames, instance.key, instance.size_bytes, instance.digest,
       instance.head_digest, instance.dataset_offset, instance.pixel_offset, instance.frame_table, instance.stored_at,
       instance.revision, instance.position, series.position AS series_position
FROM instance
JOIN series ON series.id = instance.series_fk
JOIN study ON study.id = series.study_fk
JOIN uid AS class ON class.id = instance.sop_class_uid
JOIN uid AS syntax ON syntax.id = instance.transfer_syntax_uid;
