-- PostgreSQL's spelling: its indexes look after themselves, its ids do not.

-- name: names

-- name: trigrams

-- name: no_study_labels
DELETE FROM study_label;

-- name: no_series_labels
DELETE FROM series_label;

-- name: ids_person_name
SELECT setval(pg_get_serial_sequence('person_name', 'id'), (SELECT coalesce(max(id), 0) + 1 FROM person_name), false);

-- name: ids_uid
SELECT setval(pg_get_serial_sequence('uid', 'id'), (SELECT coalesce(max(id), 0) + 1 FROM uid), false);

-- name: ids_origin
SELECT setval(pg_get_serial_sequence('origin', 'id'), (SELECT coalesce(max(id), 0) + 1 FROM origin), false);

-- name: ids_study
SELECT setval(pg_get_serial_sequence('study', 'id'), (SELECT coalesce(max(id), 0) + 1 FROM study), false);

-- name: ids_series
SELECT setval(pg_get_serial_sequence('series', 'id'), (SELECT coalesce(max(id), 0) + 1 FROM series), false);

-- name: ids_audit
SELECT setval(pg_get_serial_sequence('audit', 'id'), (SELECT coalesce(max(id), 0) + 1 FROM audit), false);

-- name: ids_commitment
SELECT setval(pg_get_serial_sequence('commitment', 'id'), (SELECT coalesce(max(id), 0) + 1 FROM commitment), false);

-- name: ids_rejection
SELECT setval(pg_get_serial_sequence('rejection', 'id'), (SELECT coalesce(max(id), 0) + 1 FROM rejection), false);

-- name: ids_label
SELECT setval(pg_get_serial_sequence('label', 'id'), (SELECT coalesce(max(id), 0) + 1 FROM label), false);
