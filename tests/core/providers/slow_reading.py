"""The inference process, in which reading a prompt takes so many seconds of one call that lets nobody else
run, not even the thread that says that the process lives."""

import sys
import time
from typing import Any

from core.inference import server
from core.inference.batch import Batch


def main() -> None:
    seconds = float(sys.argv.pop(1))
    read = Batch.read

    def read_slowly(*given: Any) -> str:
        until = time.monotonic() + seconds
        before = sys.getswitchinterval()
        sys.setswitchinterval(1000)
        while time.monotonic() < until:
            pass
        sys.setswitchinterval(before)
        return read(*given)

    Batch.read = read_slowly  # type: ignore[method-assign]
    server.main()


if __name__ == "__main__":
    main()
