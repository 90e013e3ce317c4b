"""The schema of the index, as numbered migrations, read as package data."""
