-- The wide rows of a page whose ids are known.

-- name: studies
SELECT * FROM study WHERE id IN (SELECT value FROM json_each(?));

-- name: series
SELECT * FROM series WHERE id IN (SELECT value FROM json_each(?));

-- name: instances
SELECT instance.*, uid.uid AS sop_class, syntax.uid AS transfer_syntax
FROM instance JOIN uid ON uid.id = instance.sop_class_uid JOIN uid AS syntax ON syntax.id = instance.transfer_syntax_uid
WHERE instance.id IN (SELECT value FROM json_each(?));

-- name: sop_classes
-- SOP Classes in Study (0008,0062) of some studies.
SELECT study_sop_class.study_fk, uid.uid FROM study_sop_class JOIN uid ON uid.id = study_sop_class.sop_class_uid
WHERE study_sop_class.study_fk IN (SELECT value FROM json_each(?))
ORDER BY study_sop_class.study_fk, uid.uid;

-- name: patient_counts
-- By the index on Patient ID.
SELECT count(*) AS studies, total(series_count) AS series_count, total(instance_count) AS instances
FROM study WHERE patient_id = ? AND issuer_of_patient_id = ?;
