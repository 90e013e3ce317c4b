-- The wide rows of a page whose ids are known, in one JSON array each: see mapping.all_rows.

-- name: studies
-- With all that index.short takes from columns.
SELECT json_group_array(json_object('id', id, 'study_instance_uid', study_instance_uid, 'modalities', modalities,
  'series_count', series_count, 'instance_count', instance_count, 'attributes', hex(attributes), 'present', present,
  'patient_id', patient_id, 'issuer_of_patient_id', issuer_of_patient_id, 'patient_birth_date', patient_birth_date,
  'patient_sex', patient_sex, 'study_date', study_date, 'study_time', study_time,
  'accession_number', accession_number, 'study_id', study_id, 'study_description', study_description))
FROM study WHERE id IN (SELECT value FROM json_each(?));

-- name: series
SELECT json_group_array(json_object('id', id, 'series_instance_uid', series_instance_uid,
  'instance_count', instance_count, 'attributes', hex(attributes), 'present', present,
  'modality', modality, 'series_number', series_number, 'series_description', series_description,
  'series_date', series_date, 'series_time', series_time,
  'performed_procedure_step_start_date', performed_procedure_step_start_date,
  'performed_procedure_step_start_time', performed_procedure_step_start_time,
  'body_part_examined', body_part_examined, 'laterality', laterality, 'manufacturer', manufacturer,
  'manufacturer_model_name', manufacturer_model_name, 'station_name', station_name,
  'institution_name', institution_name))
FROM series WHERE id IN (SELECT value FROM json_each(?));

-- name: instances
SELECT json_group_array(json_object('id', instance.id, 'sop_instance_uid', sop_instance_uid, 'sop_class', class.uid,
  'transfer_syntax', syntax.uid, 'attributes', hex(attributes)))
FROM instance JOIN uid AS class ON class.id = sop_class_uid JOIN uid AS syntax ON syntax.id = transfer_syntax_uid
WHERE instance.id IN (SELECT value FROM json_each(?));

-- name: sop_classes
-- SOP Classes in Study (0008,0062) of some studies.
SELECT json_group_array(json_array(study_fk, uid)) FROM (
  SELECT study_sop_class.study_fk, uid.uid FROM study_sop_class JOIN uid ON uid.id = study_sop_class.sop_class_uid
  WHERE study_sop_class.study_fk IN (SELECT value FROM json_each(?))
  ORDER BY study_sop_class.study_fk, uid.uid) AS found;

-- name: patient_counts
-- By the index on Patient ID.
SELECT count(*) AS studies, total(series_count) AS series_count, total(instance_count) AS instances
FROM study WHERE patient_id = ? AND issuer_of_patient_id = ?;

-- name: patients
-- By the index on Patient ID: the newest study of each that satisfies 'filters', and how much there is in all of its.
SELECT json_group_array(json_array(id, studies, series, instances)) FROM (
  SELECT (SELECT s.id FROM study AS s
          WHERE s.patient_id = place.value ->> 0 AND s.issuer_of_patient_id = place.value ->> 1 AND 'filters'
          ORDER BY s.date_time DESC, s.id DESC LIMIT 1) AS id,
         count(*) AS studies, sum(series_count) AS series, sum(instance_count) AS instances
  FROM json_each(?) AS place CROSS JOIN study AS each INDEXED BY study_patient_id
    ON each.patient_id = place.value ->> 0 AND each.issuer_of_patient_id = place.value ->> 1
  GROUP BY place.key, place.value ORDER BY place.key) AS found;
