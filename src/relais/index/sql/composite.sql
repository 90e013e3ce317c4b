-- Rows of instances, all counters and the change feed; all in the caller's transaction.

-- name: find
-- All that an arriving instance meets, by unique indexes only; always one row, NULL where there is nothing yet. Nobody
-- else writes meanwhile, so its revision will be one more than the newest.
SELECT study.id AS study_fk, study.present AS study_present, series.id AS series_fk, series.present AS series_present,
       held.id AS held, held.digest, held.size_bytes, held.key, held.revision, held.transfer_syntax_uid AS held_syntax,
       study.patient_id, study.issuer_of_patient_id, class.id AS sop_class, syntax.id AS syntax, origin.id AS origin,
       study_sop_class.study_fk AS listed, series_pack.series_fk AS packed, totals.revision AS newest
FROM totals
LEFT JOIN study ON study.study_instance_uid = ?
LEFT JOIN series ON series.study_fk = study.id AND series.series_instance_uid = ?
LEFT JOIN series_pack ON series_pack.series_fk = series.id
LEFT JOIN instance AS held ON held.series_fk = series.id AND held.sop_instance_uid = ?
LEFT JOIN uid AS class ON class.uid = ?
LEFT JOIN uid AS syntax ON syntax.uid = ?
LEFT JOIN origin ON origin.channel = ? AND origin.address = ? AND origin.calling_ae_title = ?
  AND origin.called_ae_title = ? AND origin."user" = ?
LEFT JOIN study_sop_class ON study_sop_class.study_fk = study.id AND study_sop_class.sop_class_uid = class.id;

-- name: add_uid
-- One may be the SOP Class and the Transfer Syntax of an instance that makes no sense.
INSERT INTO uid(uid) VALUES (?) ON CONFLICT(uid) DO UPDATE SET uid = excluded.uid RETURNING id;

-- name: add_origin
INSERT INTO origin(channel, address, calling_ae_title, called_ae_title, "user") VALUES (?, ?, ?, ?, ?)
RETURNING id;

-- name: add_sop_class
INSERT INTO study_sop_class(study_fk, sop_class_uid) VALUES (?, ?) ON CONFLICT DO NOTHING;

-- name: count_study
UPDATE study SET series_count = series_count + ?, instance_count = instance_count + ?, size_bytes = size_bytes + ?,
  updated_at = ?, revision = ?
WHERE id = ?;

-- name: count_series
UPDATE series SET instance_count = instance_count + ?, size_bytes = size_bytes + ?, updated_at = ?, revision = ?
WHERE id = ?;

-- name: count_totals
-- Without RETURNING, for which SQLite fills a table in passing: that took as long as the rest of it.
UPDATE totals SET patients = patients + ?, studies = studies + ?, series = series + ?, instances = instances + ?,
  size_bytes = size_bytes + ?, revision = revision + ?;

-- name: take_revisions
UPDATE totals SET revision = revision + ? RETURNING revision;

-- name: add_change
INSERT INTO change(revision, at, kind, instance_fk) VALUES (?, ?, ?, ?);

-- name: add_deleted
INSERT INTO deleted(instance_fk, study_instance_uid, series_instance_uid, sop_instance_uid, key) VALUES (?, ?, ?, ?, ?);

-- name: remove_instance
DELETE FROM instance WHERE id = ?;

-- name: remove_document
DELETE FROM instance_json WHERE instance_fk = ?;

-- name: counted
SELECT study.id AS study_fk, study.instance_count AS study_instances, series.id AS series_fk,
       series.instance_count AS series_instances
FROM series JOIN study ON study.id = series.study_fk WHERE series.id = ?;

-- name: add_superseded
INSERT INTO superseded(key, instance_fk) VALUES (?, ?) ON CONFLICT DO NOTHING;

-- name: superseded
SELECT key FROM superseded WHERE instance_fk = ?;
