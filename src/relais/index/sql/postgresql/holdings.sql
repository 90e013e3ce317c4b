-- PostgreSQL's spelling of what it says in another way.

-- name: studies
SELECT study_instance_uid, size_bytes, created_at, updated_at, series_count, instance_count FROM study
WHERE study_instance_uid = ANY(as_texts(?));
