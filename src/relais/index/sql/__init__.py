"""The SQL statements of the index, one file for each purpose, read as package data."""
