-- A new beginning, run in this order.

-- name: names
INSERT INTO person_name_trigram(person_name_trigram) VALUES ('delete-all');

-- name: trigrams
INSERT INTO study_trigram(study_trigram) VALUES ('delete-all');

-- name: study_labels
INSERT INTO study_label(study_label) VALUES ('delete-all');

-- name: series_labels
INSERT INTO series_label(series_label) VALUES ('delete-all');

-- name: labels
DELETE FROM label;

-- name: offsets
DELETE FROM utc_offset;

-- name: words
DELETE FROM person_name_word;

-- name: distinct_words
DELETE FROM person_word;

-- name: person_name
DELETE FROM person_name;

-- name: patient
DELETE FROM patient;

-- name: modality
DELETE FROM study_modality;

-- name: sop_class
DELETE FROM study_sop_class;

-- name: request
DELETE FROM series_request;

-- name: document
DELETE FROM instance_json;

-- name: instance
DELETE FROM instance;

-- name: packs
DELETE FROM series_pack;

-- name: packed_documents
DELETE FROM series_documents;

-- name: packed_uids
DELETE FROM packed_uid;

-- name: packed_ids
DELETE FROM packed_id;

-- name: study_keys
DELETE FROM study_key;

-- name: series_keys
DELETE FROM series_key;

-- name: to_pack
DELETE FROM to_pack;

-- name: series
DELETE FROM series;

-- name: study
DELETE FROM study;

-- name: change
-- Consumers of the feed see everything come in again, behind the revision they have.
DELETE FROM change;

-- name: totals
UPDATE totals SET patients = 0, studies = 0, series = 0, instances = 0, size_bytes = 0;

-- name: superseded
-- But for what was deleted together with its instance.
DELETE FROM superseded
WHERE NOT EXISTS (SELECT 1 FROM deleted WHERE deleted.instance_fk = superseded.instance_fk);
