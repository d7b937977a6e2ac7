"""A child of a ``LineProcess`` that computes for so many seconds without a beat, then answers."""

import sys
import time

from core.processes import line_server


def main() -> None:
    lines = line_server.connect()
    seconds = float(sys.argv[1])
    if "--beats" in sys.argv:
        line_server.keep_beating(lines)
    request = lines.inbox.get()
    until = time.process_time() + seconds
    sys.setswitchinterval(1000)  # like a long call that keeps the interpreter to itself
    while time.process_time() < until:
        pass
    lines.send({"id": request["id"], "finish": "done"})
    line_server.leave()


if __name__ == "__main__":
    main()
