from relais.db import statements


def test_every_sql_file_of_the_index_loads_and_every_statement_has_a_body() -> None:
    for file in ("changes", "composite", "documents", "lookup", "names", "reset", "search", "statistics"):
        found = statements.load("relais.index.sql", f"{file}.sql")
        assert found
        assert all(body and not body.endswith(";") for body in found.values())
