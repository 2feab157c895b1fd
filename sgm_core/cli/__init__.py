"""The `sgm` command."""


def main() -> int:
    """Run the command line (filled by `sgm_core.cli.frame`)."""
    return 0
