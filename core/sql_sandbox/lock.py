"""What a query child gives up before it sees the user's text:
files, network, other programs, memory and time.

* **Landlock** (Linux ≥ 5.13): reads exactly the named Parquet files and the few system files DuckDB asks for,
  writes only one private folder; where the kernel knows it, no TCP, no signals and no abstract sockets out of
  the child either.
* **seccomp** (Linux on x86-64 and ARM64): no sockets, no new programs, no signals, no tracing.
* **rlimits** (POSIX): address space, CPU, file size, open files, processes, no core dump.
* A **watch** on the real memory ends the child where rlimits cannot (macOS) and before they must.

Landlock and seccomp bind the calling thread and the threads it starts later, so this must run while there is
only one. ``protection()`` says in words what holds on this machine. What SQL may do at all is the business of
``gate.py``.
"""

import ctypes
import os
import platform
import struct
import sys
import threading
import time
from collections.abc import Callable, Iterable
from functools import lru_cache
from pathlib import Path

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]

SYSTEM_FILES = (
    "/proc/self/cgroup",  # DuckDB aborts when these exist and cannot be read
    "/sys/fs/cgroup",
    "/proc/stat",
    "/proc/self/statm",
    "/sys/devices/system/cpu/online",
    "/usr/share/zoneinfo",
)
MIB = 2**20
WATCH_SECONDS = 0.02

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446  # the same numbers on every architecture
_RULE_PATH_BENEATH = 1
_READ_FILE, _READ_DIR = 1 << 2, 1 << 3
_FILE_RIGHTS_BY_ABI = {1: 13, 2: 14, 3: 15, 4: 15, 5: 16}  # how many rights the kernel knows
_PR_SET_PDEATHSIG, _PR_SET_SECCOMP, _PR_SET_NO_NEW_PRIVS = 1, 22, 38

# machine -> (audit architecture, refused system calls)
_SECCOMP = {
    # socket connect bind listen fork vfork execve execveat ptrace kill process_vm_readv process_vm_writev
    # io_uring_setup
    "x86_64": (0xC000003E, (41, 42, 49, 50, 57, 58, 59, 322, 101, 62, 310, 311, 425)),
    "aarch64": (0xC00000B7, (198, 203, 200, 201, 221, 281, 117, 129, 270, 271, 425)),
}


def lock(*, read: Iterable[Path], write: Path, memory_mb: int, cpu_seconds: int, file_bytes: int) -> None:
    """Give everything up, for good. Raises OSError if the kernel has Landlock and refuses to lock."""
    _limit_resources(memory_mb=memory_mb, cpu_seconds=cpu_seconds, file_bytes=file_bytes)
    if landlock_version():
        _forbid_new_privileges()
        _lock_files([*read, *(p for p in map(Path, SYSTEM_FILES) if p.exists())], write)
    if _seccomp_known():
        _forbid_new_privileges()
        _refuse_system_calls()


def count_threads() -> int:
    """Threads of this process; 1 where it does not matter, because nothing here binds single threads."""
    return len(os.listdir("/proc/self/task")) if landlock_version() or _seccomp_known() else 1


def die_with_parent() -> None:
    """Linux: SIGKILL when the process that forked us ends."""
    if sys.platform == "linux":
        _libc().prctl(_PR_SET_PDEATHSIG, 9, 0, 0, 0)


def watch_memory(memory_mb: int, on_excess: Callable[[], None]) -> None:
    """Call ``on_excess`` from another thread as soon as this process uses ``memory_mb`` more than now."""
    limit = resident_bytes() + memory_mb * MIB

    def watch() -> None:
        while resident_bytes() < limit:
            time.sleep(WATCH_SECONDS)
        on_excess()

    if resident_bytes():
        threading.Thread(target=watch, name="memory watch", daemon=True).start()


def resident_bytes() -> int:
    """Real memory of this process; the peak where only that is known, 0 where nothing is."""
    if sys.platform == "linux":
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * resource.getpagesize()
    if resource is None:
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


@lru_cache
def landlock_version() -> int:
    """The kernel's Landlock ABI, 0 without."""
    if sys.platform != "linux":
        return 0
    return max(0, int(_libc().syscall(_CREATE_RULESET, None, 0, 1)))


def protection() -> str:
    """One sentence for the admin: what holds a query on this machine besides the gate and the deadline."""
    if landlock_version():
        network = "no network" if _seccomp_known() or landlock_version() >= 4 else "network not blocked"
        return (
            f"Full: own process, only its own files (Landlock {landlock_version()}), {network}, "
            f"limited memory and CPU."
        )
    if resource is not None:
        return (
            "Reduced: own process with limited memory and CPU, and DuckDB's own file lock, "
            "but this system has no Landlock (Linux 5.13 or newer has)."
        )
    return (
        "Reduced: own process, ended at the deadline, and DuckDB's own file lock. "
        "Linux 5.13 or newer gives full protection."
    )


def _limit_resources(*, memory_mb: int, cpu_seconds: int, file_bytes: int) -> None:
    if resource is None:
        return
    wanted = {
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_CPU: cpu_seconds,
        resource.RLIMIT_FSIZE: file_bytes,
        resource.RLIMIT_NOFILE: 256,
    }
    if sys.platform == "linux":
        with open("/proc/self/statm") as file:
            used = int(file.read().split()[0]) * resource.getpagesize()
        # threads' stacks and arenas are counted too
        wanted[resource.RLIMIT_AS] = used + 2 * memory_mb * MIB + 512 * MIB
        wanted[resource.RLIMIT_NPROC] = 4096
    for name, value in wanted.items():
        hard = resource.getrlimit(name)[1]
        capped = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(name, (capped, capped))


@lru_cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _forbid_new_privileges() -> None:
    if _libc().prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "no_new_privs")


def _lock_files(read: Iterable[Path], write: Path) -> None:
    version = landlock_version()
    everything = (1 << _FILE_RIGHTS_BY_ABI.get(version, 16)) - 1
    # files; TCP; sockets and signals
    fields = [everything] + ([3] if version >= 4 else []) + ([3] if version >= 6 else [])
    attributes = struct.pack(f"={len(fields)}Q", *fields)
    ruleset = _libc().syscall(_CREATE_RULESET, attributes, len(attributes), 0)
    if ruleset < 0:
        raise OSError(ctypes.get_errno(), "landlock_create_ruleset")
    for path in read:
        _allow(ruleset, path, _READ_FILE | _READ_DIR if path.is_dir() else _READ_FILE)
    _allow(ruleset, write, everything)
    if _libc().syscall(_RESTRICT_SELF, ruleset, 0) != 0:
        raise OSError(ctypes.get_errno(), "landlock_restrict_self")
    os.close(ruleset)


def _allow(ruleset: int, path: Path, rights: int) -> None:
    handle = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        rule = struct.pack("=Qi", rights, handle)
        if _libc().syscall(_ADD_RULE, ruleset, _RULE_PATH_BENEATH, rule, 0) != 0:
            raise OSError(ctypes.get_errno(), "landlock_add_rule")
    finally:
        os.close(handle)


def _seccomp_known() -> bool:
    return sys.platform == "linux" and platform.machine() in _SECCOMP


class _Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("filters", ctypes.c_char_p)]


def _refuse_system_calls() -> None:
    """A classic BPF program: any listed call answers EPERM, so does any call of a foreign architecture."""
    architecture, refused = _SECCOMP[platform.machine()]
    load, jump_equal, jump_at_least, give = 0x20, 0x15, 0x35, 0x06
    allow, deny = 0x7FFF0000, 0x00050001  # SECCOMP_RET_ALLOW; SECCOMP_RET_ERRNO | EPERM
    count = len(refused)
    code = [
        (load, 0, 0, 4),
        (jump_equal, 0, count + 3, architecture),
        (load, 0, 0, 0),
        (jump_at_least, count + 1, 0, 0x40000000),
    ]
    code += [(jump_equal, count - i, 0, number) for i, number in enumerate(refused)]
    code += [(give, 0, 0, allow), (give, 0, 0, deny)]
    packed = b"".join(struct.pack("=HBBI", *line) for line in code)
    program = _Program(len(code), packed)
    if _libc().prctl(_PR_SET_SECCOMP, 2, ctypes.byref(program), 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "seccomp")
