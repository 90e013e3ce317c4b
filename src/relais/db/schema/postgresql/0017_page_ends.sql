-- Where pages of searches ended (archive.bookmarks), for whichever node is asked for the next one. A fixed number of
-- slots, each overwritten in its place; nothing depends on them, so they are not logged and a crash empties the table.
CREATE UNLOGGED TABLE page_end(slot integer PRIMARY KEY, content bytea NOT NULL) WITH (fillfactor = 50);
