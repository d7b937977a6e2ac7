"""The old name of ``core.workers.worker``, for one release:
workers that an earlier server started have it."""

from core.workers.worker import run_process

if __name__ == "__main__":
    run_process()
