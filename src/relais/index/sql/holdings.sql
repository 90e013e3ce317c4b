-- How large studies and series are and when they came, from counters.

-- name: studies
SELECT study_instance_uid, size_bytes, created_at, series_count, instance_count FROM study
WHERE study_instance_uid IN (SELECT CAST(value AS TEXT) FROM json_each(?));

-- name: series
SELECT series.series_instance_uid, series.size_bytes, series.created_at, 1 AS series_count,
  series.instance_count
FROM series JOIN study ON study.id = series.study_fk WHERE study.study_instance_uid = ?;
