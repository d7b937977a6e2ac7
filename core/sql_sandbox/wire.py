"""Messages between the caller and the child: one JSON head
and one block of bytes, over a socket or a pair of pipes.

A frame is two big-endian 32-bit lengths, the head as UTF-8 JSON, then the block. Both sides refuse more than
they expect, so a child that went mad cannot fill the caller's memory.
"""

import json
import struct
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, BinaryIO

_LENGTHS = struct.Struct("!II")
MAX_HEAD = 8 * 2**20
MAX_BLOCK = 256 * 2**20


@dataclass
class Wire:
    """Two binary streams; for a socket both come from its ``makefile``."""

    incoming: BinaryIO
    outgoing: BinaryIO

    def send(self, head: dict[str, Any], block: bytes | memoryview = b"") -> None:
        text = json.dumps(head).encode("utf-8", "surrogatepass")
        self.outgoing.write(_LENGTHS.pack(len(text), len(block)))
        self.outgoing.write(text)
        self.outgoing.write(block)
        self.outgoing.flush()

    def receive(self) -> tuple[dict[str, Any], bytes]:
        """The next frame. Raises EOFError when the other side is gone or sends nonsense."""
        head_length, block_length = _LENGTHS.unpack(self._read(_LENGTHS.size))
        if head_length > MAX_HEAD or block_length > MAX_BLOCK:
            raise EOFError("frame too long")
        head = json.loads(self._read(head_length))
        if not isinstance(head, dict):
            raise EOFError("not a frame")
        return head, self._read(block_length)

    def close(self) -> None:
        for stream in (self.incoming, self.outgoing):
            with suppress(OSError, ValueError):  # the other side went first
                stream.close()

    def _read(self, length: int) -> bytes:
        data = self.incoming.read(length)
        if data is None or len(data) < length:
            raise EOFError("the other side is gone")
        return data
