-- What follows when the rows of another index have been copied in, and what such a copy asks.

-- name: names
-- The trigrams of names and of studies, made anew from their rows.
INSERT INTO person_name_trigram(person_name_trigram) VALUES ('rebuild');

-- name: trigrams
INSERT INTO study_trigram(study_trigram) VALUES ('rebuild');

-- name: no_study_labels
INSERT INTO study_label(study_label) VALUES ('delete-all');

-- name: no_series_labels
INSERT INTO series_label(series_label) VALUES ('delete-all');

-- name: ids_person_name
-- New ids go on behind the highest: by themselves in SQLite, after being told in PostgreSQL.
SELECT max(id) FROM person_name;

-- name: ids_uid
SELECT max(id) FROM uid;

-- name: ids_origin
SELECT max(id) FROM origin;

-- name: ids_study
SELECT max(id) FROM study;

-- name: ids_series
SELECT max(id) FROM series;

-- name: ids_audit
SELECT max(id) FROM audit;

-- name: ids_commitment
SELECT max(id) FROM commitment;

-- name: ids_rejection
SELECT max(id) FROM rejection;

-- name: ids_label
SELECT max(id) FROM label;

-- name: forget_name
DELETE FROM feed;

-- name: history
-- What instances that are here replaced.
SELECT key FROM superseded WHERE key > ? AND NOT EXISTS (
  SELECT 1 FROM deleted WHERE deleted.instance_fk = superseded.instance_fk
) ORDER BY key LIMIT ?;
