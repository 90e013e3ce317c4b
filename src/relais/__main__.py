"""`python -m relais` and the command `relais`."""

import sys

from relais.node import lifeline


def main() -> None:
    """Run the command line."""
    match sys.argv[1:]:
        case ["serve", "--role", _, "--parent", pid]:  # it must not outlive the supervisor, not even while it loads
            lifeline.end_with_parent(int(pid))
    from relais.cli import program  # noqa: PLC0415 - loading takes a while

    program(prog_name="relais")


if __name__ == "__main__":
    main()
