-- Where pages of searches ended, in an index that nodes share. A file has no such table.

-- name: get
SELECT content FROM page_end WHERE slot = ?;

-- name: put
INSERT INTO page_end(slot, content) VALUES (?, ?) ON CONFLICT (slot) DO UPDATE SET content = excluded.content;
