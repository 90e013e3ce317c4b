-- Storage Commitment (PS3.4 J), in both roles. References are JSON: [[SOP Class UID, SOP Instance UID], ...].

-- What peers asked us to commit to, until its result has been told. A row is claimed by who is about to tell.
CREATE TABLE commitment(
  id INTEGER PRIMARY KEY,
  transaction_uid TEXT NOT NULL,
  calling_ae_title TEXT NOT NULL,
  address TEXT NOT NULL,
  user TEXT NOT NULL,
  refs TEXT NOT NULL,
  requested_at REAL NOT NULL,
  attempts INTEGER NOT NULL,
  due_at REAL NOT NULL,                    -- when it shall be told; while it is claimed, when the claim is over
  UNIQUE(calling_ae_title, transaction_uid)
) STRICT;
CREATE INDEX commitment_due ON commitment(due_at);

-- What we asked peers to commit to, and their answers, which may come to another process than the one that asked.
CREATE TABLE commitment_asked(
  transaction_uid TEXT PRIMARY KEY,
  peer TEXT NOT NULL,
  asked_at REAL NOT NULL,
  answered_at REAL,
  answer TEXT                              -- JSON: [committed references, [[SOP Class, Instance, reason], ...]]
) STRICT, WITHOUT ROWID;
CREATE INDEX commitment_asked_at ON commitment_asked(asked_at);
