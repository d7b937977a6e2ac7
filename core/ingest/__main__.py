"""``python -m core.ingest VERSION_ID``: see ``converter``."""

import sys

from core.ingest.converter import main

if __name__ == "__main__":
    main(*sys.argv[1:])
