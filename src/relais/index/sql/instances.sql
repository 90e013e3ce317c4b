-- Instances, in rows or in packs.

-- name: series_in_order
SELECT series.id FROM series JOIN study ON study.id = series.study_fk WHERE study.study_instance_uid = ?
ORDER BY series.position, series.series_instance_uid;

-- name: by_sop_uids
SELECT * FROM instance_row WHERE sop_instance_uid IN (SELECT CAST(value AS TEXT) FROM json_each(?));

-- name: by_ids
SELECT * FROM instance_row WHERE id IN (SELECT value FROM json_each(?));

-- name: of_series
SELECT * FROM instance_row WHERE series_fk IN (SELECT value FROM json_each(?)) ORDER BY series_fk, id;

-- name: packed
SELECT * FROM packed_series WHERE series_fk IN (SELECT value FROM json_each(?)) ORDER BY series_fk;

-- name: uids
SELECT id, uid FROM uid WHERE id IN (SELECT value FROM json_each(?));

-- name: first_image_series
-- The first series (or the one that is named) that holds Pixel Data, if any does, and how many of its instances do.
SELECT series.id, coalesce(pack.image_count, (SELECT count(pixel_offset) FROM instance WHERE series_fk = series.id)) AS images
FROM series JOIN study ON study.id = series.study_fk
LEFT JOIN series_pack AS pack ON pack.series_fk = series.id
WHERE study_instance_uid = :study_instance_uid AND :series_instance_uid IN ('', series_instance_uid)
ORDER BY coalesce(pack.image_count > 0, EXISTS (
  SELECT 1 FROM instance WHERE series_fk = series.id AND pixel_offset IS NOT NULL)) DESC,
  series.position, series.id LIMIT 1;

-- name: nth_of_series
-- Those with Pixel Data come first.
SELECT * FROM instance_row WHERE id = (
  SELECT id FROM instance WHERE series_fk = ?
  ORDER BY pixel_offset IS NULL, position, sop_instance_uid LIMIT 1 OFFSET ?
);

-- name: series_behind
SELECT id, instance_count FROM series WHERE id > ? ORDER BY id LIMIT ?;
