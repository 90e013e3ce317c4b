-- A request under a Transaction UID that another one still uses is told so, and has a row until then (PS3.3 C.14.1.1).
ALTER TABLE commitment ADD COLUMN is_duplicate bigint NOT NULL DEFAULT 0;  -- 1: the UID was in use
ALTER TABLE commitment DROP CONSTRAINT commitment_calling_ae_title_transaction_uid_key;
CREATE INDEX commitment_waiting ON commitment(calling_ae_title, transaction_uid);
CREATE UNIQUE INDEX commitment_in_use ON commitment(calling_ae_title, transaction_uid) WHERE is_duplicate = 0;
