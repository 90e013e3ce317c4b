-- Series that are packed, and those that will be.

-- name: get
SELECT instances FROM series_pack WHERE series_fk = ?;

-- name: with_stems
-- Series that may hold an instance, by the beginning of its UID.
SELECT DISTINCT series_fk FROM packed_uid WHERE stem IN (SELECT value FROM json_each(?));

-- name: with_blocks
-- Series that may hold an instance, by its id.
SELECT DISTINCT series_fk FROM packed_id WHERE block IN (SELECT value FROM json_each(?));

-- name: sop_classes
SELECT pack.sop_classes FROM series JOIN series_pack AS pack ON pack.series_fk = series.id WHERE series.study_fk = ?;

-- name: add
INSERT INTO series_pack(series_fk, instance_count, image_count, size_bytes, sop_classes, instances)
VALUES (?, ?, ?, ?, ?, ?);

-- name: add_stem
INSERT INTO packed_uid(stem, series_fk) VALUES (?, ?);

-- name: add_block
INSERT INTO packed_id(block, series_fk) VALUES (?, ?);

-- name: remove
DELETE FROM series_pack WHERE series_fk = ?;

-- name: remove_stem
DELETE FROM packed_uid WHERE stem = ? AND series_fk = ?;

-- name: remove_block
DELETE FROM packed_id WHERE block = ? AND series_fk = ?;

-- name: set_documents
INSERT INTO series_documents(series_fk, documents) VALUES (?, ?)
ON CONFLICT(series_fk) DO UPDATE SET documents = excluded.documents;

-- name: remove_documents
DELETE FROM series_documents WHERE series_fk = ?;

-- name: revision
SELECT revision FROM series WHERE id = ?;

-- name: rows
SELECT * FROM instance WHERE series_fk = ? ORDER BY id;

-- name: hold
-- Nobody may change a series from now on until the transaction ends; none where it has changed already.
UPDATE series SET revision = revision WHERE id = ? AND revision = ? RETURNING id;

-- name: take_rows
DELETE FROM instance WHERE series_fk = ?;

-- name: take_documents
DELETE FROM instance_json WHERE instance_fk IN (SELECT value FROM json_each(?));

-- name: give_row
INSERT INTO instance(id, series_fk, sop_instance_uid, sop_class_uid, transfer_syntax_uid, origin_fk, instance_number,
  "rows", "columns", bits_allocated, number_of_frames, content_date, content_time, key, size_bytes, digest, head_digest,
  dataset_offset, pixel_offset, frame_table, stored_at, revision, attributes)
VALUES (:id, :series_fk, :sop_instance_uid, :sop_class_uid, :transfer_syntax_uid, :origin_fk, :instance_number,
  :rows, :columns, :bits_allocated, :number_of_frames, :content_date, :content_time, :key, :size_bytes, :digest,
  :head_digest, :dataset_offset, :pixel_offset, :frame_table, :stored_at, :revision, :attributes);

-- name: ask
INSERT INTO to_pack(series_fk, at) VALUES (?, ?) ON CONFLICT(series_fk) DO UPDATE SET at = excluded.at;

-- name: asked
SELECT to_pack.series_fk FROM to_pack LEFT JOIN series ON series.id = to_pack.series_fk
WHERE to_pack.at NOT BETWEEN :before AND :latest
  AND (series.id IS NULL OR series.updated_at NOT BETWEEN :before AND :latest)
LIMIT :limit;

-- name: done
DELETE FROM to_pack WHERE series_fk = ?;

-- name: until
SELECT revision FROM packed_until;

-- name: move
UPDATE packed_until SET revision = ? WHERE revision = ?;

-- name: changes
SELECT revision, at, instance_fk FROM change WHERE revision > ? ORDER BY revision LIMIT ?;

-- name: quiet
-- Series of some instances, if they have rows, in which nothing has happened since.
SELECT instance.id, instance.series_fk FROM instance JOIN series ON series.id = instance.series_fk
WHERE instance.id IN (SELECT value FROM json_each(?)) AND series.updated_at NOT BETWEEN ? AND ?;
