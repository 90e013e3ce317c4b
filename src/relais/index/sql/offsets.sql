-- Offsets from UTC that studies tell.

-- name: add
INSERT INTO utc_offset(minutes) VALUES (?) ON CONFLICT DO NOTHING;

-- name: all
SELECT minutes FROM utc_offset;

-- name: unread
-- By their index: studies whose offset may not be among them.
SELECT id, attributes FROM study INDEXED BY study_offset
WHERE (present & 65536) <> 0 AND (present & 4611686018427387904) = 0 ORDER BY id LIMIT ?;

-- name: read
UPDATE study SET present = present | 4611686018427387904 WHERE id = ?;
