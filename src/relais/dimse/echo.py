"""Verification as SCP: C-ECHO (PS3.4 A.4)."""

from relais.dimse.operation import Operation
from relais.dimse.status import SUCCESS


def serve(operation: Operation) -> None:
    """Answer; anybody who may associate may ask."""
    operation.respond(SUCCESS)
