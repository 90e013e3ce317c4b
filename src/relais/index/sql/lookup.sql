-- Instances and attributes by UID.

-- name: study_attributes
SELECT * FROM study WHERE study_instance_uid = ?;

-- name: series_attributes
SELECT * FROM series WHERE series_instance_uid = ? AND study_fk = ?;

-- name: instance_attributes
SELECT instance.*, uid.uid AS sop_class, syntax.uid AS transfer_syntax
FROM instance JOIN uid ON uid.id = instance.sop_class_uid JOIN uid AS syntax ON syntax.id = instance.transfer_syntax_uid
WHERE sop_instance_uid = ? AND series_fk = ?;

-- name: study_revision
SELECT revision FROM study WHERE study_instance_uid = ?;

-- name: series_revision
SELECT series.revision FROM series JOIN study ON study.id = series.study_fk
WHERE series_instance_uid = ? AND study_instance_uid = ?;

-- name: plain_keys
-- Keys that do not name their instance, by their partial index, and those that were superseded.
SELECT key FROM instance WHERE instr(key, char(3)) = 0 AND key IN (SELECT value FROM json_each(:keys))
UNION ALL SELECT key FROM superseded WHERE key IN (SELECT value FROM json_each(:keys))
  AND NOT EXISTS (SELECT 1 FROM deleted WHERE deleted.instance_fk = superseded.instance_fk);
