"""The largest pause of a stream while others ask for much.

    python -m tests.bench.bench_serving_gap [--other CHECKOUT] [--seconds N]

One user's answer is streamed over ``/v1`` without an end, and the time between two pieces is measured: alone
for N seconds, then beside another user's chat of 12 messages of 100,000 characters and a short question,
beside a prompt of a megabyte, which is refused, and beside 16 prompts of 900 tokens at once. Told are, in
milliseconds, the median, the 99th percentile and the largest alone, then each largest pause, also as a
multiple of the 99th percentile: on a busy machine the largest alone may be several times that, too. With
CHECKOUT another commit of Luthier runs first, in the same run. Aim: at most 3.

The model is the starter with end tokens that are never drawn and a longer context.
"""

import argparse
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx

from core.config import ROOT
from core.db import writing
from core.security import new_id
from core.tables import ModelRow, ModelVersionRow
from tests.browser.rest import Rest
from tests.browser.server import Server

STARTER = ROOT / "core" / "training" / "starter" / "weights"
CONTEXT = 4096
LONG = "hello world " * 8300


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--other", type=Path)
    parser.add_argument("--seconds", type=float, default=10)
    asked = parser.parse_args()
    sys.setswitchinterval(0.0005)  # so that who asks much in this process does not hold up who reads
    with tempfile.TemporaryDirectory() as folder:
        talker = make_talker(Path(folder) / "talker")
        for checkout in filter(None, (asked.other, ROOT)):
            with tempfile.TemporaryDirectory() as data:
                measure(checkout, talker, Path(data), asked.seconds)


def make_talker(folder: Path) -> Path:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer: Any = AutoTokenizer.from_pretrained(STARTER)
    model: Any = AutoModelForCausalLM.from_pretrained(STARTER, dtype=torch.float32)
    with torch.no_grad():
        model.get_input_embeddings().weight[tokenizer.all_special_ids] = 0
    model.config.max_position_embeddings = CONTEXT
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def measure(checkout: Path, talker: Path, data: Path, seconds: float) -> None:
    server = Server(data / "data", env={"LUTHIER_REGISTRATION": "open"})
    server.data_dir.mkdir()
    server.start(cwd=checkout)
    try:
        ada, bob = Rest(server.url, "ada@example.com"), Rest(server.url, "bob@example.com")
        with server.database():
            model_id = _register(talker)
        stream = Stream(server.url, ada)
        stream.wait_for_text()
        alone = stream.gaps_during(lambda: time.sleep(seconds))
        p99 = alone[int(len(alone) * 0.99)]
        print(
            f"{checkout.name:12} alone: median {alone[len(alone) // 2] * 1000:.0f} ms, "
            f"p99 {p99 * 1000:.0f} ms, largest {alone[-1] * 1000:.0f} ms",
            flush=True,
        )
        for name, load in loads(bob, server.url, model_id).items():
            began = time.monotonic()
            largest = stream.gaps_during(load)[-1]
            took = time.monotonic() - began
            print(
                f"{checkout.name:12} {name}: largest {largest * 1000:.0f} ms, {largest / p99:.1f} times, "
                f"took {took:.1f} s",
                flush=True,
            )
        stream.close()
    finally:
        server.kill_everything()


def loads(bob: Rest, url: str, model_id: str) -> dict[str, Callable[[], object]]:
    # making a client takes a tenth of a second, in which this process notes no pauses
    client = httpx.Client(headers={"Authorization": f"Bearer {_key(bob)}"}, timeout=300)
    chat = bob.post("/chats", {"model_id": model_id})["id"]
    for _ in range(12):
        bob.post("/messages", {"chat_id": chat, "content": LONG, "generate": False})
    question = {"chat_id": chat, "content": "hi", "parameters": {"max_tokens": 2}}

    def ask(content: str, most: int) -> None:
        body = {"model": "talker", "max_tokens": most, "messages": [{"role": "user", "content": content}]}
        client.post(f"{url}/v1/chat/completions", json=body)

    def ask_sixteen() -> None:
        threads = [
            threading.Thread(target=ask, args=(f"{n} " + "some words to read " * 225, 20)) for n in range(16)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    return {
        "a chat of 1.2 MB": lambda: bob.post("/messages", question),
        "a prompt of 1 MB": lambda: ask(LONG * 10, 2),
        "16 long prompts": ask_sixteen,
    }


class Stream:
    """An answer that never ends, and the pauses between its pieces."""

    def __init__(self, url: str, user: Rest) -> None:
        self._url, self._key = url, _key(user)
        self._gaps: list[float] = []
        self._closed = threading.Event()
        threading.Thread(target=self._read, daemon=True).start()

    def wait_for_text(self) -> None:
        self._wait_for(20)

    def gaps_during(self, act: Callable[[], object]) -> list[float]:
        """The pauses, shortest first; the last is the one in which ``act`` ended."""
        first = len(self._gaps)
        act()
        self._wait_for(len(self._gaps) + 1)
        return sorted(self._gaps[first:])

    def close(self) -> None:
        self._closed.set()

    def _wait_for(self, count: int) -> None:
        while len(self._gaps) < count:
            time.sleep(0.01)

    def _read(self) -> None:
        """Answer after answer; the pause between two of them does not count."""
        body = {"model": "talker", "max_tokens": CONTEXT - 200, "temperature": 0, "stream": True}
        body["messages"] = [{"role": "user", "content": "Tell me a long story."}]
        headers = {"Authorization": f"Bearer {self._key}"}
        # at the end the server goes while it answers
        with (
            suppress(httpx.TransportError),
            httpx.Client(base_url=self._url, headers=headers, timeout=300) as client,
        ):
            while not self._closed.is_set():
                with client.stream("POST", "/v1/chat/completions", json=body) as answer:
                    self._note(answer.iter_lines())

    def _note(self, lines: Iterator[str]) -> None:
        before = None
        for line in lines:
            if self._closed.is_set():
                return
            if line.startswith("data: {"):
                assert '"error"' not in line, line
                now = time.monotonic()
                if before:
                    self._gaps.append(now - before)
                before = now


def _register(folder: Path) -> str:
    with writing() as session:
        row = ModelRow(
            id=new_id("mdl"), name="talker", type="base", context_length=CONTEXT, capabilities={"chat": True}
        )
        session.add(row)
        session.flush()
        session.add(ModelVersionRow(id=new_id("mdv"), model_id=row.id, version=1, folder=str(folder)))
        return str(row.id)


def _key(user: Rest) -> str:
    return str(user.post("/apikeys", {"name": "bench"})["key"])


if __name__ == "__main__":
    main()
