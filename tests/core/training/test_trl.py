"""TRL as the oracle: on the same batches its trainers and our loop have the same losses, step by step."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from core.formats import ChatExample, PreferenceExample, Text
from core.training.batches import BatchOrder
from tests.core.training.shared import STARTER, ask, make_loop, prefer

pytestmark = pytest.mark.slow
STEPS, BATCH, RATE = 8, 4, 1e-4  # larger steps amplify the last digit until it is the fourth
TOLERANCE = 1e-4  # losses around 1 to 10: four digits
QUESTIONS = [ask(f"What is item {n}?", f"It is {'very ' * (n % 7)}drawer {n}.") for n in range(STEPS * BATCH)]
TURNS = [
    ChatExample([*one.messages, *two.messages]) for one, two in zip(QUESTIONS, QUESTIONS[::-1], strict=True)
]
TEXTS = [Text(f"The lamp {n} burns {'all night and ' * (n % 5)}day.") for n in range(STEPS * BATCH)]
PREFERENCES = [
    prefer(f"Is {n} fine?", "Yes, it is.", f"No, {n} is {'not ' * (n % 4)}fine.")
    for n in range(STEPS * BATCH)
]


@pytest.fixture(autouse=True)
def batches_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both sides see the rows as they stand."""
    monkeypatch.setattr(
        BatchOrder,
        "rows",
        lambda self, step: list(range(step * self.batch_size, (step + 1) * self.batch_size)),
    )


def ours(folder: Path, method: str, rows: Sequence[Any], **asked: Any) -> Any:
    settings = {
        "batch_size": BATCH,
        "n_epochs": 1,
        "learning_rate": RATE,
        "schedule": "constant",
        "warmup_share": 0.0,
    }
    loop = make_loop(STARTER, folder, method=method, rows=rows, **settings | {"samples_every": 0} | asked)
    loop.run()
    return loop.report


def theirs(folder: Path, kind: str, rows: list[dict[str, Any]], **more: Any) -> list[dict[str, float]]:
    """The log of a TRL trainer over the rows in their order."""
    import trl
    from datasets import Dataset
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from transformers.trainer_callback import PrinterCallback, ProgressCallback

    tokenizer = AutoTokenizer.from_pretrained(STARTER)
    arguments = getattr(trl, f"{kind}Config")(
        output_dir=str(folder),
        per_device_train_batch_size=BATCH,
        num_train_epochs=1,
        learning_rate=RATE,
        lr_scheduler_type="constant",
        adam_beta2=0.99,
        logging_steps=1,
        report_to=[],
        save_strategy="no",
        use_cpu=True,
        bf16=False,
        gradient_checkpointing=False,
        max_length=1024,
        train_sampling_strategy="sequential",
        **more,
    )
    trainer = getattr(trl, f"{kind}Trainer")(
        model=AutoModelForCausalLM.from_pretrained(STARTER, dtype="float32"),
        args=arguments,
        train_dataset=Dataset.from_list(rows),
        processing_class=tokenizer,
    )
    for callback in (PrinterCallback, ProgressCallback):
        trainer.remove_callback(callback)
    trainer.train()
    return [entry for entry in trainer.state.log_history if "loss" in entry]


@pytest.mark.parametrize(
    "rows",
    [pytest.param(QUESTIONS, id="one turn", marks=pytest.mark.long), pytest.param(TURNS, id="two turns")],
)
@pytest.mark.parametrize("loss_on", ["answers", pytest.param("all", marks=pytest.mark.long)])
def test_supervised_losses_are_those_of_trl(tmp_path: Path, rows: list[ChatExample], loss_on: str) -> None:
    found = ours(tmp_path / "ours", "supervised", rows, loss_on=loss_on)
    oracle = theirs(
        tmp_path,
        "SFT",
        [{"messages": row.messages} for row in rows],
        assistant_only_loss=loss_on == "answers",
    )
    assert found.losses == pytest.approx([entry["loss"] for entry in oracle], abs=TOLERANCE)
    assert [s.grad_norm for s in found.steps] == pytest.approx(
        [entry["grad_norm"] for entry in oracle], rel=1e-3
    )


def test_continued_losses_are_those_of_trl(tmp_path: Path) -> None:
    found = ours(tmp_path / "ours", "continued", TEXTS)
    oracle = theirs(tmp_path, "SFT", [{"text": row.text} for row in TEXTS])
    assert found.losses == pytest.approx([entry["loss"] for entry in oracle], abs=TOLERANCE)


def test_preference_losses_and_rewards_are_those_of_trl(tmp_path: Path) -> None:
    found = ours(tmp_path / "ours", "dpo", PREFERENCES, beta=0.1)
    rows = [_as_trl(row) for row in PREFERENCES]
    oracle = theirs(tmp_path, "DPO", rows, beta=0.1, precompute_ref_log_probs=True)
    assert found.losses == pytest.approx([entry["loss"] for entry in oracle], abs=TOLERANCE)
    margins = [step.extra["reward_margin"] for step in found.steps]
    assert margins == pytest.approx([entry["rewards/margins"] for entry in oracle], abs=1e-3)


def _as_trl(row: PreferenceExample) -> dict[str, Any]:
    return {"prompt": row.messages, "chosen": row.preferred, "rejected": row.non_preferred}
