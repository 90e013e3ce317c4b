-- From now on packs are of another form (index.pack), which a program of before cannot read. Where there is something to
-- pack nobody does within an hour: until then all nodes are to be upgraded.
INSERT INTO lease(name, holder, until)
SELECT 'packing', '0012_short', extract(epoch FROM now()) + 3600 WHERE EXISTS (SELECT 1 FROM instance)
ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, until = excluded.until;
UPDATE compatibility SET oldest = '0012_short';
