"""Tokens per second and memory of our loop against TRL's SFTTrainer
and a bare loop, on the same rows in the same batches.

    python -m tests.bench.bench_training      the starter, and a randomly initialised model of 110M parameters
    python -m tests.bench.bench_training --models starter --rounds 5

Each side runs in a process of its own, one thread, turn by turn; a figure is the median of its rounds. TRL
runs as its users have it; ours and the bare loop in a process set up as the worker sets up its own
(``hardware.set_up_torch``). Both clocks are printed: on a machine that does other things, the ratio of CPU
seconds is the one to trust. Rows are those of ``gsm8k-train.jsonl`` where it is at hand, else made up with
the same lengths. Warm-up steps, loading, checkpoints and evaluation are not counted.
"""

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

from core.config import ROOT
from core.formats import ChatExample
from tests.core.training.shared import STARTER, Kept, make_loop

GSM8K = ROOT.parent / "shared" / "data" / "gsm8k-train.jsonl"
WARM_UP = 4
# folder, steps, rows per batch, longest row
SIZES = {"starter": (STARTER, 60, 8, 1024), "110M": (None, 12, 4, 1024)}
SIDES = ("ours", "trl", "bare")
RATE = 1e-4


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", nargs="*", default=list(SIZES), choices=list(SIZES))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--packing", action="store_true", help="our side packs rows")
    parser.add_argument(
        "--one", nargs=2, metavar=("SIDE", "MODEL"), help="run one side and print its figures as JSON"
    )
    parser.add_argument("--folder", type=Path)
    arguments = parser.parse_args()
    if arguments.one:
        side, name = arguments.one
        print(json.dumps(run_one(side, name, arguments.folder, packing=arguments.packing)))
        return
    with tempfile.TemporaryDirectory() as folder:
        for name in arguments.models:
            compare(name, Path(folder), rounds=arguments.rounds, packing=arguments.packing)


def compare(name: str, folder: Path, *, rounds: int, packing: bool) -> None:
    made = base_of(name, folder)
    found: dict[str, list[dict[str, float]]] = {side: [] for side in SIDES}
    for _ in range(rounds):
        for side in SIDES:
            command = [
                sys.executable,
                "-m",
                "tests.bench.bench_training",
                "--one",
                side,
                name,
                "--folder",
                str(made),
            ]
            command += ["--packing"] * (packing and side == "ours")
            done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
            found[side].append(json.loads(done.stdout.splitlines()[-1]))
    figures = {
        side: {key: median(run[key] for run in runs) for key in runs[0]} for side, runs in found.items()
    }
    print(f"\n{name}: {rounds} rounds, medians")
    for side, one in figures.items():
        print(
            f"  {side:5} {one['per_second']:8,.0f} tokens/s {one['per_cpu_second']:8,.0f} tokens/cpu-s "
            f"{one['memory'] / 2**20:7,.0f} MiB  last loss {one['loss']:.4f}"
        )
    ours, trl, bare = (figures[side]["per_cpu_second"] for side in SIDES)
    walls = [figures[side]["per_second"] for side in SIDES]
    print(
        f"  ours / TRL {ours / trl:.2f} by CPU, {walls[0] / walls[1]:.2f} by the clock; aim 1.5, "
        f"and 1.0 on the large one"
    )
    print(
        f"  over the bare loop {bare / ours - 1:+.1%} by CPU, {walls[2] / walls[0] - 1:+.1%} by the clock; "
        f"aim at most 3%"
    )
    print(f"  memory ours / TRL {figures['ours']['memory'] / figures['trl']['memory']:.2f}")


def base_of(name: str, folder: Path) -> Path:
    """The model's folder. The large one is random: its speed does not depend on its weights."""
    known = SIZES[name][0]
    if known is not None:
        return known
    import shutil

    from transformers import LlamaConfig, LlamaForCausalLM

    size = {"hidden_size": 768, "intermediate_size": 2560, "num_hidden_layers": 12, "num_attention_heads": 12}
    config = LlamaConfig(
        vocab_size=4096, max_position_embeddings=1024, tie_word_embeddings=True, eos_token_id=2, **size
    )
    target = folder / name
    LlamaForCausalLM(config).save_pretrained(target)
    for file in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        shutil.copy(STARTER / file, target)
    return target


def rows_of(count: int) -> list[ChatExample]:
    if GSM8K.is_file():
        lines = GSM8K.read_text(encoding="utf-8").splitlines()[:count]
        pairs = [(one["question"], one["answer"]) for one in map(json.loads, lines)]
    else:
        dice = random.Random(1)
        pairs = [("word " * dice.randint(20, 80), "answer " * dice.randint(20, 120)) for _ in range(count)]
    return [
        ChatExample([{"role": "user", "content": a}, {"role": "assistant", "content": b}]) for a, b in pairs
    ]


def run_one(side: str, name: str, base: Path, *, packing: bool) -> dict[str, float]:
    _, steps, batch, longest = SIZES[name]
    settings: dict[str, Any] = {
        "batch_size": batch, "max_steps": steps, "n_epochs": 50, "learning_rate": RATE,
        "schedule": "constant", "warmup_share": 0.0, "tuning": "full", "max_length": longest,
        "samples_every": 0, "evaluate_every": 10**6, "packing": packing,
    }  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        clock = Clock()
        loop = make_loop(base, Path(folder), rows=rows_of(steps * batch), report=clock, **settings)
        loop.checkpoint_seconds = 1e9
        loop.save = lambda: None  # type: ignore[method-assign]
        loss = {"ours": run_ours, "bare": run_bare, "trl": run_trl}[side](loop, clock, base, Path(folder))
    first, last = clock.ticks[WARM_UP], clock.ticks[-1]
    tokens = sum(
        loop.lengths[u] for step in range(WARM_UP + 1, len(clock.ticks)) for u in loop.order.rows(step)
    )
    return {
        "per_second": tokens / (last[0] - first[0]),
        "per_cpu_second": tokens / (last[1] - first[1]),
        "memory": float(peak_memory()),
        "loss": loss,
    }


class Clock(Kept):
    """Ticks at the end of each step: (seconds, CPU seconds)."""

    def __init__(self) -> None:
        super().__init__()
        self.ticks: list[tuple[float, float]] = []

    def tick(self) -> None:
        self.ticks.append((time.perf_counter(), time.process_time()))

    def step(self, facts: Any) -> None:
        super().step(facts)
        self.tick()


def run_ours(loop: Any, clock: Clock, _base: Path, _folder: Path) -> float:
    loop.run()
    return float(clock.losses[-1])


def run_bare(loop: Any, clock: Clock, _base: Path, _folder: Path) -> float:
    """What a step cannot do without, written out: forward, loss, backward, clip, update."""
    import numpy as np
    import torch
    from torch.nn import functional

    model, loss = loop.model, None
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=RATE, betas=(0.9, 0.99), weight_decay=0.0, fused=True
    )
    for step in range(loop.total):
        rows = [loop.train[r] for r in loop.order.rows(step)]
        width = max(map(len, rows))
        ids, labels = np.zeros((len(rows), width), np.int64), np.full((len(rows), width), -100)
        for i, row in enumerate(rows):
            ids[i, : len(row)], labels[i, : len(row)] = row.ids, np.where(row.learned, row.ids, -100)
        places = np.flatnonzero((labels != -100).any(0))
        logits = model(
            input_ids=torch.from_numpy(ids), use_cache=False, logits_to_keep=torch.from_numpy(places - 1)
        ).logits
        targets = torch.from_numpy(labels[:, places])
        loss = functional.cross_entropy(logits.float().flatten(0, 1), targets.flatten(), ignore_index=-100)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        clock.tick()
    assert loss is not None
    return float(loss)


def run_trl(loop: Any, clock: Clock, base: Path, folder: Path) -> float:
    """SFTTrainer over the same rows in the order in which our loop takes them."""
    import torch
    from datasets import Dataset
    from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback
    from transformers.trainer_callback import PrinterCallback, ProgressCallback
    from trl import SFTConfig, SFTTrainer

    class Tick(TrainerCallback):
        def on_step_end(self, *_: Any, **__: Any) -> None:
            clock.tick()

    torch.set_flush_denormal(False)
    del loop.model, loop.optimizer
    batch = loop.order.batch_size
    order = [row for step in range(loop.total) for row in loop.order.rows(step)]
    chats = rows_of(loop.total * batch)
    arguments = SFTConfig(
        output_dir=str(folder / "trl"), per_device_train_batch_size=batch, max_steps=loop.total,
        learning_rate=RATE, lr_scheduler_type="constant", adam_beta2=0.99, optim="adamw_torch_fused",
        logging_steps=10, report_to=[], save_strategy="no", use_cpu=True, bf16=False,
        gradient_checkpointing=False, max_length=loop.settings.max_length, assistant_only_loss=True,
        train_sampling_strategy="sequential",
    )  # fmt: skip
    trainer = SFTTrainer(
        model=AutoModelForCausalLM.from_pretrained(base, dtype="float32"),
        args=arguments,
        train_dataset=Dataset.from_list([{"messages": chats[row].messages} for row in order]),
        processing_class=AutoTokenizer.from_pretrained(base),
    )
    for callback in (PrinterCallback, ProgressCallback):
        trainer.remove_callback(callback)
    trainer.add_callback(Tick())
    trainer.train()
    return float([entry["loss"] for entry in trainer.state.log_history if "loss" in entry][-1])


def peak_memory() -> int:
    """Of this process so far, in bytes."""
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


if __name__ == "__main__":
    main()
