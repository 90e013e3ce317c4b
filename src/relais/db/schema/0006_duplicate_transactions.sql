-- A request under a Transaction UID that another one still uses is told so, and has a row until then (PS3.3 C.14.1.1).
CREATE TABLE commitment_requests(
  id INTEGER PRIMARY KEY,
  transaction_uid TEXT NOT NULL,
  calling_ae_title TEXT NOT NULL,
  address TEXT NOT NULL,
  user TEXT NOT NULL,
  refs TEXT NOT NULL,
  requested_at REAL NOT NULL,
  attempts INTEGER NOT NULL,
  due_at REAL NOT NULL,                    -- when it shall be told; while it is claimed, when the claim is over
  is_duplicate INTEGER NOT NULL            -- 1: the UID was in use
) STRICT;
INSERT INTO commitment_requests
SELECT id, transaction_uid, calling_ae_title, address, user, refs, requested_at, attempts, due_at, 0 FROM commitment;
DROP TABLE commitment;
ALTER TABLE commitment_requests RENAME TO commitment;
CREATE INDEX commitment_due ON commitment(due_at);
CREATE INDEX commitment_waiting ON commitment(calling_ae_title, transaction_uid);
CREATE UNIQUE INDEX commitment_in_use ON commitment(calling_ae_title, transaction_uid) WHERE is_duplicate = 0;
