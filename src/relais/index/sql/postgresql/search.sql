-- PostgreSQL's spelling: plain rows (index.mapping.named_rows).

-- name: studies
SELECT id, study_instance_uid, modalities, series_count, instance_count, attributes, present, patient_id,
  issuer_of_patient_id, patient_birth_date, patient_sex, study_date, study_time, accession_number, study_id,
  study_description
FROM study WHERE id = ANY(translate(?, '[]', '{}')::bigint[]);

-- name: series
SELECT id, series_instance_uid, instance_count, attributes, present, modality, series_number, series_description,
  series_date, series_time, performed_procedure_step_start_date, performed_procedure_step_start_time,
  body_part_examined, laterality, manufacturer, manufacturer_model_name, station_name, institution_name
FROM series WHERE id = ANY(translate(?, '[]', '{}')::bigint[]);

-- name: instances
SELECT instance.id AS id, sop_instance_uid, class.uid AS sop_class, syntax.uid AS transfer_syntax, attributes
FROM instance JOIN uid AS class ON class.id = sop_class_uid JOIN uid AS syntax ON syntax.id = transfer_syntax_uid
WHERE instance.id = ANY(translate(?, '[]', '{}')::bigint[]);
