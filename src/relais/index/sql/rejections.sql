-- Rejection notes.

-- name: add
INSERT INTO rejection(sop_instance_uid, study_instance_uid, at, reason, instances, document) VALUES (?, ?, ?, ?, ?, ?)
RETURNING id;

-- name: claim
UPDATE deleted SET rejection_fk = ? WHERE instance_fk = ?;

-- name: is_unwanted
-- By deleted_uids: an instance may have been deleted more than once.
SELECT 1 FROM deleted JOIN rejection ON rejection.id = deleted.rejection_fk
WHERE deleted.study_instance_uid = ? AND deleted.series_instance_uid = ?
  AND deleted.sop_instance_uid = ? AND rejection.reason IN (SELECT CAST(value AS TEXT) FROM json_each(?)) LIMIT 1;

-- name: newest
SELECT sop_instance_uid, study_instance_uid, at, reason, instances FROM rejection ORDER BY id DESC LIMIT ?;

-- name: of_study
SELECT sop_instance_uid, study_instance_uid, at, reason, instances FROM rejection WHERE study_instance_uid = ?
ORDER BY id DESC LIMIT ?;

-- name: document
SELECT study_instance_uid, document FROM rejection WHERE sop_instance_uid = ?;
