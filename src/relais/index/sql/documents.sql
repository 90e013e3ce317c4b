-- Ready-made metadata documents.

-- name: get_many
SELECT instance_fk, document FROM instance_json WHERE instance_fk IN (SELECT value FROM json_each(?));

-- name: bundles
SELECT documents FROM series_documents WHERE series_fk IN (SELECT value FROM json_each(?));

-- name: put
-- The revision tells what was replaced since the document was made.
INSERT INTO instance_json(instance_fk, document)
SELECT id, :document FROM instance WHERE id = :id AND revision = :revision
ON CONFLICT(instance_fk) DO UPDATE SET document = excluded.document;

-- name: without
SELECT instance_row.* FROM instance_row
WHERE instance_row.id > ? AND NOT EXISTS (SELECT 1 FROM instance_json WHERE instance_fk = instance_row.id)
ORDER BY instance_row.id LIMIT ?;
