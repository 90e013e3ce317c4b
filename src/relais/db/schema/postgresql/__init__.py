"""The same steps of the schema in PostgreSQL's spelling, read as package data."""
