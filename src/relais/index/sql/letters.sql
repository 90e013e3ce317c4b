-- Pairs of letters of patients' names, as bits.

-- name: unread
-- By their index: studies whose name may hold other letters than their bits say.
SELECT study.id, person_name.alphabetic, person_name.ideographic, person_name.phonetic
FROM study INDEXED BY study_without_letters CROSS JOIN person_name ON person_name.id = study.patient_name
WHERE study.patient_letters = -1 AND study.patient_name IS NOT NULL ORDER BY study.id LIMIT ?;

-- name: read
UPDATE study SET patient_letters = ? WHERE id = ?;
