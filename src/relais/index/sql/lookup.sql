-- Instances and attributes by UID.

-- name: by_sop_uid
SELECT * FROM instance_row WHERE sop_instance_uid = ? ORDER BY study_instance_uid, series_instance_uid;

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

-- name: batch
-- Every instance, a batch at a time, in the order of ids.
SELECT * FROM instance_row WHERE id > ? ORDER BY id LIMIT ?;

-- name: by_sop_uids
SELECT * FROM instance_row WHERE sop_instance_uid IN (SELECT CAST(value AS TEXT) FROM json_each(?));

-- name: plain_keys
-- Keys that do not name their instance, by their partial index, and those that were superseded.
SELECT key FROM instance WHERE instr(key, char(3)) = 0 AND key IN (SELECT value FROM json_each(:keys))
UNION ALL SELECT superseded.key FROM superseded JOIN instance ON instance.id = superseded.instance_fk
WHERE superseded.key IN (SELECT value FROM json_each(:keys));

-- name: first_image_series
-- The first series (or the one that is named) that holds Pixel Data, if any does, and how many of its instances do.
SELECT series.id, (SELECT count(pixel_offset) FROM instance WHERE series_fk = series.id) AS images
FROM series JOIN study ON study.id = series.study_fk
WHERE study_instance_uid = :study_instance_uid AND :series_instance_uid IN ('', series_instance_uid)
ORDER BY EXISTS (SELECT 1 FROM instance WHERE series_fk = series.id AND pixel_offset IS NOT NULL) DESC,
         series.position, series.id LIMIT 1;

-- name: nth_of_series
-- Those with Pixel Data come first.
SELECT * FROM instance_row WHERE id = (
  SELECT id FROM instance WHERE series_fk = ?
  ORDER BY pixel_offset IS NULL, position, sop_instance_uid LIMIT 1 OFFSET ?
);
