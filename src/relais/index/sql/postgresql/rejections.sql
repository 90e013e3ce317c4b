-- PostgreSQL's spelling of what it says in another way.

-- name: is_unwanted
SELECT 1 FROM deleted JOIN rejection ON rejection.id = deleted.rejection_fk
WHERE deleted.study_instance_uid = :study AND deleted.series_instance_uid = :series
  AND deleted.sop_instance_uid = :instance AND rejection.reason = ANY(as_texts(:reasons)) LIMIT 1;
