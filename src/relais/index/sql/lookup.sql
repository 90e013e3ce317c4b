-- Instances and attributes by UID.

-- name: by_sop_uid
SELECT * FROM instance_row WHERE sop_instance_uid = ? ORDER BY study_instance_uid, series_instance_uid;

-- name: study_attributes
SELECT * FROM study WHERE study_instance_uid = ?;

-- name: series_attributes
SELECT * FROM series WHERE series_instance_uid = ? AND study_fk = ?;

-- name: instance_attributes
SELECT instance.*, uid.uid AS sop_class FROM instance JOIN uid ON uid.id = instance.sop_class_uid
WHERE sop_instance_uid = ? AND series_fk = ?;

-- name: study_revision
SELECT revision FROM study WHERE study_instance_uid = ?;

-- name: series_revision
SELECT series.revision FROM series JOIN study ON study.id = series.study_fk
WHERE series_instance_uid = ? AND study_instance_uid = ?;

-- name: batch
-- Every instance, a batch at a time, in the order of ids.
SELECT * FROM instance_row WHERE id > ? ORDER BY id LIMIT ?;

-- name: plain_key
-- A key that does not name its instance, by its partial index; or one that was superseded.
SELECT 1 FROM instance WHERE instr(key, char(3)) = 0 AND key = :key
UNION ALL SELECT 1 FROM superseded JOIN instance ON instance.id = superseded.instance_fk WHERE superseded.key = :key;
