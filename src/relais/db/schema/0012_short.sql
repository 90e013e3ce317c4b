-- From now on rows of studies and series leave out of "attributes" what their columns say (index.short), and packs are of
-- another form (index.pack): a program of before would answer less, or not read them.
UPDATE compatibility SET oldest = '0012_short';
