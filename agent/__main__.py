"""``python -m agent``: the ``haulier`` command where its script is not on the path."""

import sys

from agent.cli import main

if __name__ == "__main__":
    sys.exit(main())
