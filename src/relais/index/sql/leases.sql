-- name: others
-- Whether somebody else has it.
SELECT 1 FROM lease WHERE name = :name AND holder <> :holder AND until > :now AND until <= :latest;

-- name: take
-- Give the lease to :holder if nobody else has it.
INSERT INTO lease(name, holder, until) VALUES (:name, :holder, :until)
ON CONFLICT(name) DO UPDATE SET holder = excluded.holder, until = excluded.until
WHERE lease.until <= :now OR lease.until > :latest OR lease.holder = excluded.holder
RETURNING name;

-- name: give_back
DELETE FROM lease WHERE name = :name AND holder = :holder;
