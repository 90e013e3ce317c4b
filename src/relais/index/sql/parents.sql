-- Rows of patients, studies and series, and what other tables say of them; all in the caller's transaction.

-- name: add_patient
-- Returns 1 for the patient's first study.
INSERT INTO patient(patient_id, issuer_of_patient_id, study_count) VALUES (?, ?, 1)
ON CONFLICT(patient_id, issuer_of_patient_id) DO UPDATE SET study_count = patient.study_count + 1
RETURNING study_count;

-- name: remove_patient
UPDATE patient SET study_count = study_count - 1 WHERE patient_id = ? AND issuer_of_patient_id = ?
RETURNING study_count;

-- name: forget_patient
DELETE FROM patient WHERE patient_id = ? AND issuer_of_patient_id = ?;

-- name: study
SELECT * FROM study WHERE id = ?;

-- name: study_of
SELECT * FROM study WHERE study_instance_uid = ?;

-- name: series
SELECT * FROM series WHERE id = ?;

-- name: dated
SELECT date_time, modalities FROM study WHERE id = ?;

-- name: add_trigrams
INSERT INTO study_trigram(rowid, patient_id, accession_number)
SELECT id, patient_id, accession_number FROM study WHERE id = ?;

-- name: remove_trigrams
-- FTS5 with external content must be told what it is to forget, before the row changes.
INSERT INTO study_trigram(study_trigram, rowid, patient_id, accession_number)
SELECT 'delete', id, patient_id, accession_number FROM study WHERE id = ?;

-- name: add_modality
INSERT INTO study_modality(modality, date_time, study_fk) VALUES (?, ?, ?) ON CONFLICT DO NOTHING;

-- name: remove_modalities
DELETE FROM study_modality WHERE study_fk = ?;

-- name: modalities
SELECT DISTINCT modality FROM series WHERE study_fk = ? AND modality <> '' ORDER BY modality;

-- name: set_modalities
UPDATE study SET modalities = ? WHERE id = ?;

-- name: move_modalities
-- The study's date has changed.
UPDATE study_modality SET date_time = ? WHERE study_fk = ?;

-- name: gone_sop_classes
-- Those that no row of an instance of the study has any more.
SELECT sop_class_uid FROM study_sop_class WHERE study_fk = :study_fk AND sop_class_uid NOT IN (
  SELECT instance.sop_class_uid FROM series JOIN instance ON instance.series_fk = series.id
  WHERE series.study_fk = :study_fk);

-- name: remove_sop_class
DELETE FROM study_sop_class WHERE study_fk = ? AND sop_class_uid = ?;

-- name: add_request
INSERT INTO series_request(series_fk, item, scheduled_procedure_step_id, requested_procedure_id, study_instance_uid,
                           accession_number)
VALUES (:series_fk, :item, :scheduled_procedure_step_id, :requested_procedure_id, :study_instance_uid,
        :accession_number);

-- name: remove_requests
DELETE FROM series_request WHERE series_fk = ?;

-- name: remove_series
DELETE FROM series WHERE id = ?;

-- name: remove_study
DELETE FROM study WHERE id = ?;

-- name: count_patients
UPDATE totals SET patients = patients + ?;
