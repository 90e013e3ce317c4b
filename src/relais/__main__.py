"""`python -m relais` and the command `relais`."""

from relais.cli import program


def main() -> None:
    """Run the command line."""
    program(prog_name="relais")


if __name__ == "__main__":
    main()
