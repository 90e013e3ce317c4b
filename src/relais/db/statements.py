"""Named statements out of .sql files: `-- name: NAME`, a comment that says why, the statement. Knows no tables."""

import re
from importlib import resources


def load(package: str, file: str) -> dict[str, str]:
    """The statements of *file* in *package*, by name."""
    text = (resources.files(package) / file).read_text(encoding="utf-8")
    parts = re.split(r"^-- name: (\w+)\s*$", text, flags=re.MULTILINE)
    statements = {name: _without_comments(body) for name, body in zip(parts[1::2], parts[2::2], strict=True)}
    assert len(statements) == len(parts) // 2, f"{file} names a statement twice"
    return statements


def _without_comments(body: str) -> str:
    lines = (line for line in body.splitlines() if not line.startswith("--"))
    return "\n".join(lines).strip().removesuffix(";")
