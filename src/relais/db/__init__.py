"""Connections, transactions and migrations. Knows SQLite and nothing of what the tables mean."""
