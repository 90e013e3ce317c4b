"""PostgreSQL as the engine of an index. Needs psycopg, which the extra `postgres` brings (docs/decisions/0009)."""
