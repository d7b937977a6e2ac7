"""What the tests of children run as a child, and as a server that dies over its child."""

import os
import sys
import time
from pathlib import Path

from core.config import child_environment, settings
from core.processes import children
from core.processes.children import Program


def main(what: str, *more: str) -> int:
    match what:
        case "tell":
            print(*more, sys.stdin.readline().strip(), settings().trash_days, sep="\n")
            print(child_environment().get("SECRET_OF_ONE"), f"session {os.getsid(0)}", sep="\n")
        case "exit":
            return int(more[0])
        case "raise":
            raise RuntimeError(*more)
        case "hang":
            print("hangs", flush=True)
            time.sleep(600)
        case "wait":
            while not Path(more[0], "go").exists():
                time.sleep(0.02)
            print("went on", flush=True)
        case "serve":
            serve(Path(more[0]))
    return 0


def serve(folder: Path) -> None:
    """Start a child, say who is who, and wait to be killed."""
    children.keep_warm("core.config")
    program = Program("tests.hostile.child_program", "tests.hostile.child_program:main")
    environment = child_environment()
    child = children.start(program, "wait", str(folder), output=folder / "output", environment=environment)
    parent = children._warm_parent()
    assert parent
    print(parent.process.pid, child.pid, flush=True)
    time.sleep(600)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
