"""``python -m core.reports VERSION_ID KIND``: see ``computing``."""

import sys

from core.reports.computing import main

if __name__ == "__main__":
    main(*sys.argv[1:])
