-- Counters and their proof.

-- name: totals
-- Who has no Patient ID is a patient for each study: these are counted together, as those of one.
SELECT patients + (SELECT CAST(coalesce(sum(study_count - 1), 0) AS INTEGER) FROM patient WHERE patient_id = '')
  AS patients, studies, series, instances, size_bytes, revision
FROM totals;

-- name: ends_of_feed
SELECT coalesce(min(revision), 1) - 1, coalesce(max(revision), 0) FROM change;

-- name: change_from
SELECT revision, at FROM change WHERE revision >= ? ORDER BY revision LIMIT 1;

-- name: received_behind
SELECT count(*) FROM change WHERE revision > ? AND kind <> 'deleted';

-- name: wrong_series
-- A series has rows of instances or a pack: with both it counts some twice.
SELECT 'Series ' || series_instance_uid || ' counts ' || series.instance_count || ' instances and holds ' ||
       (count(instance.id) + coalesce(max(series_pack.instance_count), 0)) || '.'
FROM series LEFT JOIN instance ON instance.series_fk = series.id
LEFT JOIN series_pack ON series_pack.series_fk = series.id
GROUP BY series.id
HAVING series.instance_count <> count(instance.id) + coalesce(max(series_pack.instance_count), 0)
  OR series.size_bytes <> total(instance.size_bytes) + coalesce(max(series_pack.size_bytes), 0);

-- name: wrong_studies
SELECT 'Study ' || study_instance_uid || ' counts ' || study.instance_count || ' instances in ' || study.series_count ||
       ' series and holds ' || cast(total(series.instance_count) AS INTEGER) || ' in ' || count(series.id) || '.'
FROM study LEFT JOIN series ON series.study_fk = study.id
GROUP BY study.id
HAVING study.series_count <> count(series.id) OR study.instance_count <> total(series.instance_count)
  OR study.size_bytes <> total(series.size_bytes);

-- name: wrong_patients
SELECT 'A patient counts ' || coalesce(patient.study_count, 0) || ' studies and has ' || counted.studies || '.'
FROM (SELECT patient_id, issuer_of_patient_id, count(*) AS studies FROM study GROUP BY 1, 2) AS counted
LEFT JOIN patient USING (patient_id, issuer_of_patient_id)
WHERE coalesce(patient.study_count, 0) <> counted.studies;

-- name: wrong_totals
SELECT 'The totals do not agree with the rows.' FROM totals
WHERE patients <> (SELECT count(*) FROM patient) OR studies <> (SELECT count(*) FROM study)
  OR series <> (SELECT count(*) FROM series)
  OR instances <> (SELECT count(*) FROM instance) + (SELECT total(instance_count) FROM series_pack)
  OR size_bytes <> (SELECT total(size_bytes) FROM study);

-- name: wrong_modalities
SELECT 'Study ' || study_instance_uid || ' is not listed under its modalities.' FROM study
WHERE date_time <> coalesce((SELECT max(m.date_time) FROM study_modality AS m WHERE m.study_fk = study.id), date_time)
  OR (modalities = '') <> (NOT EXISTS (SELECT 1 FROM study_modality AS m WHERE m.study_fk = study.id));

-- name: orphans
SELECT 'A row of series_request belongs to no series.' FROM series_request
WHERE NOT EXISTS (SELECT 1 FROM series WHERE series.id = series_request.series_fk)
UNION ALL
SELECT 'A kept document belongs to no instance.' FROM instance_json
WHERE NOT EXISTS (SELECT 1 FROM instance WHERE instance.id = instance_json.instance_fk)
UNION ALL
SELECT 'A pack belongs to no series.' FROM series_pack
WHERE NOT EXISTS (SELECT 1 FROM series WHERE series.id = series_pack.series_fk)
UNION ALL
SELECT 'Kept documents belong to no series.' FROM series_documents
WHERE NOT EXISTS (SELECT 1 FROM series WHERE series.id = series_documents.series_fk)
UNION ALL
SELECT 'A UID leads to no pack.' FROM packed_uid
WHERE NOT EXISTS (SELECT 1 FROM series_pack WHERE series_pack.series_fk = packed_uid.series_fk)
UNION ALL
SELECT 'An id leads to no pack.' FROM packed_id
WHERE NOT EXISTS (SELECT 1 FROM series_pack WHERE series_pack.series_fk = packed_id.series_fk)
UNION ALL
SELECT 'A modality belongs to no study.' FROM study_modality
WHERE NOT EXISTS (SELECT 1 FROM study WHERE study.id = study_modality.study_fk)
UNION ALL
SELECT 'A SOP Class belongs to no study.' FROM study_sop_class
WHERE NOT EXISTS (SELECT 1 FROM study WHERE study.id = study_sop_class.study_fk);
