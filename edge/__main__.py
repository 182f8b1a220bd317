"""`edge`, and `python -m edge`: begins before anything is imported, so that Ctrl-C is an answer from the first moment.

Knows no command; those are in edge.cli.
"""

from __future__ import annotations

import sys

INTERRUPTED = 130  # as in edge.cli.terminal, which is not here yet


def main() -> None:
    try:
        from edge.cli import main as run
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    run()


if __name__ == "__main__":
    main()
