"""``python -m core COMMAND``: Luthier from a shell, on the server's machine."""

import sys

from core.cli import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
