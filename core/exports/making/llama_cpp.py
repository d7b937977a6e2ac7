"""What llama.cpp does where an admin has configured it:
convert architectures that Luthier does not write, and answer the check.

``LUTHIER_LLAMA_CPP`` names its folder, with ``convert_hf_to_gguf.py`` and the built ``llama-server`` (there
or in ``build/bin``). Where the Python package ``llama_cpp`` is installed, it answers instead of the server.
"""

import contextlib
import json
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from core.config import bare_environment, settings
from core.exports.making.order import CannotExport
from core.exports.making.prompts import NEW_TOKENS

SCRIPT, SERVER = "convert_hf_to_gguf.py", "llama-server"
TYPES = {"gguf-f16": "f16", "gguf-q8_0": "q8_0"}
START_SECONDS, ANSWER_SECONDS = 300, 600
SAID_CHARACTERS = 600


def can_convert() -> bool:
    return (folder := _folder()) is not None and (folder / SCRIPT).is_file()


def can_answer() -> bool:
    return find_spec("llama_cpp") is not None or _server() is not None


def convert(source: Path, file: Path, kind: str) -> None:
    """Raises CannotExport with the end of what the script said."""
    folder = _folder()
    if folder is None or not (folder / SCRIPT).is_file():
        raise CannotExport(f"{SCRIPT} is not in the folder that LUTHIER_LLAMA_CPP names. Tell an admin.")
    command = [
        sys.executable,
        str(folder / SCRIPT),
        str(source),
        "--outfile",
        str(file),
        "--outtype",
        TYPES[kind],
    ]
    done = subprocess.run(
        command, cwd=folder, env=bare_environment(), stdin=subprocess.DEVNULL, capture_output=True, text=True
    )
    if done.returncode != 0 or not file.is_file():
        print(done.stdout, done.stderr, file=sys.stderr)
        last = next((line for line in reversed(done.stderr.splitlines()) if line.strip()), "it said nothing")
        raise CannotExport(f"llama.cpp could not convert this model: {last[:SAID_CHARACTERS]}")


def answers(file: Path, prompts: Sequence[str], tick: Callable[[float], None], *, context: int) -> list[str]:
    """Greedy continuations of rendered prompts, tokenized by llama.cpp itself."""
    ask = _answers_of_package if find_spec("llama_cpp") else _answers_of_server
    texts = []
    for text in ask(file, prompts, context):
        texts.append(text)
        tick(len(texts) / len(prompts))
    return texts


def _answers_of_package(file: Path, prompts: Sequence[str], context: int) -> Iterator[str]:
    from llama_cpp import Llama

    model = Llama(str(file), n_ctx=context, n_gpu_layers=0, verbose=False)
    for prompt in prompts:
        tokens = model.tokenize(prompt.encode(), add_bos=False, special=True)
        yield str(
            model.create_completion(tokens, max_tokens=NEW_TOKENS, temperature=0.0)["choices"][0]["text"]
        )


def _answers_of_server(file: Path, prompts: Sequence[str], context: int) -> Iterator[str]:
    binary = _server()
    assert binary is not None
    port = _free_port()
    command = [
        str(binary),
        "-m",
        str(file),
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
        "-c",
        str(context),
        "-ngl",
        "0",
    ]
    environment = bare_environment()
    process = subprocess.Popen(
        command, env=environment, stdin=subprocess.DEVNULL, stdout=sys.stderr, stderr=sys.stderr
    )
    try:
        _wait_until_ready(process, f"http://127.0.0.1:{port}/health")
        for prompt in prompts:
            request = {"prompt": prompt, "n_predict": NEW_TOKENS, "temperature": 0, "cache_prompt": False}
            yield str(_post(f"http://127.0.0.1:{port}/completion", request)["content"])
    except (OSError, ValueError, KeyError) as error:
        raise CannotExport(
            "llama.cpp could not answer with this file. The server's log says more."
        ) from error
    finally:
        process.kill()
        process.wait()


def _wait_until_ready(process: "subprocess.Popen[bytes]", address: str) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(OSError), urllib.request.urlopen(address, timeout=5):
            return
        time.sleep(0.1)
    raise CannotExport("llama.cpp could not load the file that was made. The server's log says why.")


def _post(address: str, body: dict[str, Any]) -> dict[str, Any]:
    request = urllib.request.Request(address, json.dumps(body).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=ANSWER_SECONDS) as answer:
        content: dict[str, Any] = json.load(answer)
    return content


def _server() -> Path | None:
    folder = _folder()
    places = (folder, folder / "build" / "bin") if folder else ()
    return next((place / SERVER for place in places if (place / SERVER).is_file()), None)


def _folder() -> Path | None:
    chosen = settings().llama_cpp
    return Path(chosen).expanduser() if chosen else None


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
