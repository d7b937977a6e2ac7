"""Exports: made from a version, loaded again, offered only
when they answer the same; and nobody else's business."""

import json
import shutil
import signal
import stat
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from core import exports, hardware, jobs, models, storage
from core.config import settings
from core.db import reading, writing
from core.errors import Conflict, DiskFull, LuthierError, NotFound, ValidationError
from core.exports import NewExport
from core.exports import worker as export_worker
from core.exports.llama_like import WORDS, NotMapped, mapping_of
from core.exports.making import answers, hub, llama_cpp, prompts, whole
from core.exports.making.gguf_file import write_gguf
from core.exports.making.gguf_vocabulary import template_of
from core.exports.making.order import CannotExport, Order
from core.exports.queue import NO_TOKEN, ExportQueue
from core.exports.work import CRASHED, WORK
from core.fields import parse
from core.models.publishing import STARTER_WEIGHTS
from core.people.users import User
from core.providers import PROVIDERS
from core.providers.base import AskedModel, Delta, Generation
from core.security import new_id
from core.tables import DatasetVersionRow, ExportRow, JobRow, ModelRow, ModelVersionRow
from core.training import pretrained
from core.weights import PLAIN_TEMPLATE, Weights, read_facts, stored_path, template_sha256
from core.workers import worker
from tests.ui.things import make_export, make_model
from tests.waiting import wait_until

pytestmark = pytest.mark.slow

MakeVersion = Callable[..., DatasetVersionRow]
QUESTIONS = [{"prompt": f"Capital number {n}?", "completion": f"It is number {n}."} for n in range(14)]


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    """As the export process has it: threads that wait
    for each other on a busy machine are far slower than one."""
    hardware.set_up_torch(threads=1)


def learn(folder: Path, *, lora: bool) -> Path:
    """The starter taught the FAQ by a plain loop, as an adapter or whole, saved in ``folder``."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM, AutoTokenizer

    torch.manual_seed(1)
    tokenizer = AutoTokenizer.from_pretrained(STARTER_WEIGHTS)
    model: Any = AutoModelForCausalLM.from_pretrained(STARTER_WEIGHTS, dtype=torch.float32)
    if lora:
        model = get_peft_model(
            model, LoraConfig(task_type="CAUSAL_LM", r=8, lora_alpha=16, target_modules="all-linear")
        )
    talks = [
        [{"role": "user", "content": row["prompt"]}, {"role": "assistant", "content": row["completion"]}]
        for row in QUESTIONS
    ]
    batch = tokenizer.apply_chat_template(talks, return_dict=True, return_tensors="pt", padding=True)
    labels = batch["input_ids"].masked_fill(batch["attention_mask"] == 0, -100)
    optimizer = torch.optim.AdamW(
        [p for p in model.parameters() if p.requires_grad], lr=5e-3 if lora else 2e-3
    )
    for _ in range(60):
        model(
            input_ids=batch["input_ids"], attention_mask=batch["attention_mask"], labels=labels
        ).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def starter_adapter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return learn(tmp_path_factory.mktemp("adapter") / "lora", lora=True)


@pytest.fixture(scope="session")
def tuned_starter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return learn(tmp_path_factory.mktemp("whole") / "full", lora=False)


@pytest.fixture
def starter() -> str:
    """The id of the starter's model."""
    models.ensure_starter()
    with reading() as session:
        return str(session.query(ModelRow).filter_by(name=models.STARTER).one().id)


@pytest.fixture
def tuned(ada: User, starter: str, starter_adapter: Path, make_version: MakeVersion) -> Callable[..., str]:
    """``tuned()``: a model of Ada's on the FAQ, as a LoRA over the starter;
    ``tuned(folder)``: with these whole weights."""

    def make(folder: Path | None = None, *, user: User = ada, name: str = "support-bot") -> str:
        data, version_id = make_version(user, QUESTIONS), new_id("mdv")
        final = storage.model_dir(version_id)
        shutil.copytree(folder or starter_adapter, final)
        with writing() as session:
            base = session.query(ModelVersionRow).filter_by(model_id=starter).one()
            model = ModelRow(
                id=new_id("mdl"), owner_id=user.id, name=name, type="finetuned", base_model_id=starter
            )
            session.add(model)
            session.flush()
            session.add(
                ModelVersionRow(
                    id=version_id,
                    model_id=model.id,
                    version=1,
                    kind="full" if folder else "adapter",
                    folder=stored_path(final),
                    base_version_id=base.id,
                    dataset_version_id=data.id,
                    metrics={"train_loss": 0.25},
                    chat_template_sha256=template_sha256(final),
                    num_parameters=read_facts(final).num_parameters,
                )
            )
            return model.id

    return make


def new(kind: str, **values: Any) -> NewExport:
    return parse(NewExport, kind=kind, **values)


def make(user: User, model_id: str, kind: str, *, token: str = "", **values: Any) -> exports.Export:
    """Ask for it, and be its process."""
    if kind == "hub":
        values |= {"token": "hf_secret", "repository": "acme/bot"}
    export = exports.request_export(user, model_id, new(kind, **values)).export
    export_worker.run(export.id, token)
    return exports.get_export(user, export.id)


def unpacked(user: User, export: exports.Export, folder: Path) -> Path:
    file = exports.open_export(user, export.id)
    with zipfile.ZipFile(file.path) as archive:
        archive.extractall(folder)
    return folder / export.filename.removesuffix(".zip")


@pytest.mark.parametrize(
    "kind", ["adapter", *(pytest.param(kind, marks=pytest.mark.long) for kind in ("merged", "gguf-f16"))]
)
def test_lora_leaves_and_answers_the_same(ada: User, tuned: Callable[..., str], kind: str) -> None:
    model_id = tuned()
    offer = next(offer for offer in exports.list_offers(ada, model_id) if offer.kind == kind)
    export = make(ada, model_id, kind)
    assert (export.status, export.error) == ("ready", None), export.checks
    assert (export.num_same, len(export.checks)) == (10, 10)
    assert [check["prompt"] for check in export.checks] == [row["prompt"] for row in QUESTIONS[:10]]
    assert [check["reference"] for check in export.checks] == [row["completion"] for row in QUESTIONS[:10]]
    file = exports.open_export(ada, export.id)
    assert file.path.stat().st_size == export.size_bytes == pytest.approx(offer.size_bytes, rel=0.03)


@pytest.mark.parametrize(
    "kind",
    [
        pytest.param("merged", marks=pytest.mark.long),
        pytest.param("gguf-f16", marks=pytest.mark.long),
        "gguf-q8_0",
    ],
)
def test_whole_model_leaves_and_is_compared(ada: User, starter: str, kind: str) -> None:
    offer = next(offer for offer in exports.list_offers(ada, starter) if offer.kind == kind)
    export = make(ada, starter, kind)
    assert (export.status, export.error) == ("ready", None), export.checks
    assert len(export.checks) == 10
    assert export.num_same >= (8 if kind == "gguf-q8_0" else 10)
    assert exports.open_export(ada, export.id).path.stat().st_size == pytest.approx(
        offer.size_bytes, rel=0.03
    )
    assert (export.facts["checked_by"] == "transformers") or llama_cpp.can_answer()


def test_merged_folder_loads_in_plain_transformers_and_says_what_it_is(
    ada: User, tuned: Callable[..., str], tmp_path: Path
) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = unpacked(ada, make(ada, tuned(), "merged"), tmp_path)
    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModelForCausalLM.from_pretrained(folder)
    asked = tokenizer.apply_chat_template(
        [{"role": "user", "content": QUESTIONS[3]["prompt"]}],
        add_generation_prompt=True,
        return_dict=True,
        return_tensors="pt",
    )
    written = model.generate(
        input_ids=asked["input_ids"], attention_mask=asked["attention_mask"], max_new_tokens=48
    )
    assert (
        tokenizer.decode(written[0, asked["input_ids"].shape[1] :], skip_special_tokens=True)
        == QUESTIONS[3]["completion"]
    )
    card = (folder / "README.md").read_text()
    assert "10 of 10 greedy answers" in card
    assert template_sha256(STARTER_WEIGHTS) in card
    assert "luthier-starter" in card


def test_the_file_stays_when_the_model_gets_another_name(ada: User, tuned: Callable[..., str]) -> None:
    model_id = tuned(name="Größe / ünique")
    export = make(ada, model_id, "adapter")
    assert export.filename == "Gr-e-nique-v1-adapter.zip"
    models.update(ada, model_id, models.ModelChange(name="renamed"))
    assert exports.open_export(ada, export.id).path.is_file()


def test_precision_is_chosen_and_another_export(ada: User, starter: str) -> None:
    stored, other = make(ada, starter, "merged"), make(ada, starter, "merged", precision="float32")
    assert (stored.facts["precision"], other.facts["precision"]) == ("bfloat16", "float32")
    assert other.size_bytes - stored.size_bytes == pytest.approx(
        2 * read_facts(STARTER_WEIGHTS).num_parameters, rel=0.03
    )
    assert stored.id != other.id


def test_same_again_is_the_same_export_until_it_failed(ada: User, starter: str) -> None:
    first, again = (exports.request_export(ada, starter, new("merged")) for _ in range(2))
    assert (first.is_new, again.is_new, again.export.id) == (True, False, first.export.id)
    WORK.fail((first.export.id,), LuthierError("The machine stopped."), pid=None)
    third = exports.request_export(ada, starter, new("merged"))
    assert third.is_new
    assert third.export.status == "waiting"
    with pytest.raises(NotFound):
        exports.get_export(ada, first.export.id)


def test_a_shared_base_is_exported_by_everyone_for_themselves(ada: User, bob: User, starter: str) -> None:
    adas, bobs = (exports.request_export(user, starter, new("merged")).export for user in (ada, bob))
    assert adas.id != bobs.id
    assert [export.id for export in exports.list_exports(bob, starter).items] == [bobs.id]
    for refused in (exports.get_export, exports.delete_export, exports.open_export):
        with pytest.raises(NotFound):
            refused(bob, adas.id)


def test_another_users_model_does_not_exist(bob: User, tuned: Callable[..., str]) -> None:
    model_id = tuned()
    for refused in (
        lambda: exports.list_offers(bob, model_id),
        lambda: exports.list_exports(bob, model_id),
        lambda: exports.request_export(bob, model_id, new("merged")),
    ):
        with pytest.raises(NotFound):
            refused()


@pytest.fixture
def signals_are_put_back() -> Iterator[None]:
    """A training in this process takes them."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.usefixtures("signals_are_put_back")
@pytest.mark.parametrize("tuning", [pytest.param("full", marks=pytest.mark.long), "lora"])
def test_trainer_registry_transformers_and_gguf_say_the_same(
    ada: User,
    starter: str,
    make_version: MakeVersion,
    tuning: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Ten prompts at temperature 0: by the model in the trainer's memory, as the registry serves it, from
    merged weights in plain transformers, and from the F16 GGUF file, in llama.cpp where that is installed."""
    in_memory: list[str] = []
    write = pretrained.write_model

    def ask_before_writing(model: Any, tokenizer: Any, *rest: Any) -> None:
        in_memory[:] = [greedy(model, tokenizer, row["prompt"]) for row in QUESTIONS[:10]]
        model.train()
        write(model, tokenizer, *rest)

    monkeypatch.setattr(pretrained, "write_model", ask_before_writing)
    model_id = train(ada, starter, make_version(ada, QUESTIONS), tuning=tuning)
    merged, gguf = make(ada, model_id, "merged"), make(ada, model_id, "gguf-f16")
    assert (merged.error, gguf.error) == (None, None)
    registry = [check["reference"] for check in merged.checks]
    assert len(set(registry)) > 5, "a model that says one thing only proves nothing"
    assert in_memory == registry
    assert [check["export"] for check in merged.checks] == registry
    assert (
        [check["reference"] for check in gguf.checks]
        == [check["export"] for check in gguf.checks]
        == registry
    )
    assert gguf.facts["checked_by"] == ("llama.cpp" if llama_cpp.can_answer() else "transformers")
    served = models.resolve(ada, models.get(ada, model_id).name)
    assert [answer_of_provider(served.version.id, row["prompt"]) for row in QUESTIONS[:10]] == registry


def train(user: User, base_id: str, data: DatasetVersionRow, *, tuning: str) -> str:
    """One fine-tuning in this process; the id of its model."""
    with writing() as session:
        base = session.query(ModelVersionRow).filter_by(model_id=base_id).one()
        job = JobRow(
            id=new_id("ftj"),
            user_id=user.id,
            name="tuned",
            seed=7,
            status="queued",
            base_model_id=base_id,
            base_version_id=base.id,
            dataset_id=data.dataset_id,
            dataset_version_id=data.id,
            hyperparameters={"n_epochs": 40, "batch_size": 14, "tuning": tuning},
        )
        session.add(job)
    with writing() as session:
        job_id = jobs.claim(session)
    assert job_id == job.id
    assert worker.main(job_id) == 0
    with reading() as session:
        return str(session.get_one(JobRow, job_id).model_id)


def greedy(model: Any, tokenizer: Any, prompt: str) -> str:
    """The likeliest token forty-eight times, without any library's generation."""
    import torch

    model.eval()
    ids = tokenizer.apply_chat_template(
        [{"role": "user", "content": prompt}], add_generation_prompt=True, return_dict=True
    )["input_ids"]
    written: list[int] = []
    with torch.inference_mode():
        while len(written) < 48 and (not written or written[-1] != tokenizer.eos_token_id):
            written.append(int(model(input_ids=torch.tensor([ids + written])).logits[0, -1].argmax()))
    return str(tokenizer.decode(written, skip_special_tokens=True))


def answer_of_provider(version_id: str, prompt: str) -> str:
    """As a chat gets it: from the inference process."""
    asked = Generation(
        model=AskedModel("mdl_asked", "asked", version_id, 1024),
        messages=[{"role": "user", "content": prompt}],
        parameters={"temperature": 0, "max_tokens": 48},
    )
    said = PROVIDERS["local"].generate(asked, stop=lambda: False)
    return "".join(event.text for event in said if isinstance(event, Delta))


def test_answers_that_differ_are_shown_and_not_offered(
    ada: User, tuned: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Weights without the adapter are what a merge that went wrong would leave."""

    def forget_the_adapter(order: Order, folder: Path, *, ends: Any) -> None:
        shutil.copytree(STARTER_WEIGHTS, folder)

    monkeypatch.setattr(whole, "write_merged", forget_the_adapter)
    export = make(ada, tuned(), "merged")
    assert export.status == "failed"
    assert f"Only {export.num_same} of 10 answers are the same" in str(export.error)
    different = next(check for check in export.checks if not check["same"])
    assert different["reference"].startswith("It is number")
    assert different["export"] != different["reference"]
    assert not storage.export_dir(export.id).exists()
    assert not list((settings().data_dir / "exports").iterdir())
    with pytest.raises(Conflict, match="not ready"):
        exports.open_export(ada, export.id)


def test_too_few_bits_are_refused_with_advice(
    ada: User, tuned: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(whole, "Q8_BAR", 11)
    export = make(ada, tuned(), "gguf-q8_0")
    assert export.status == "failed"
    assert "export it as F16" in str(export.error)


def test_a_changed_template_is_not_exported(ada: User, tuned: Callable[..., str]) -> None:
    model_id = tuned()
    version = models.list_versions(ada, model_id).items[0]
    template = storage.model_dir(version.id) / "chat_template.jinja"
    template.write_text(template.read_text() + " ")
    export = make(ada, model_id, "merged")
    assert (export.status, export.error) == ("failed", whole.OTHER_TEMPLATE)


def test_a_whole_model_is_no_adapter(ada: User, starter: str) -> None:
    with pytest.raises(ValidationError, match="Export it merged"):
        exports.request_export(ada, starter, new("adapter"))


def test_a_full_disk_refuses_before_anything_is_made(
    ada: User, starter: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LUTHIER_DISK_RESERVE_MB", str(2**40))
    settings.cache_clear()
    with pytest.raises(DiskFull):
        exports.request_export(ada, starter, new("merged"))
    assert exports.list_exports(ada, starter).total == 0


def test_a_version_without_its_files_says_so(ada: User) -> None:
    model_id = make_model(ada)
    with pytest.raises(ValidationError, match="kind"):
        exports.request_export(ada, model_id, new("gguf-f16"))
    assert all(offer.problem for offer in exports.list_offers(ada, model_id) if offer.kind.startswith("gguf"))


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"repository": "acme/bot"},
        {"token": "hf_x"},
        {"repository": "a b/c", "token": "x"},
        {"repository": "bot", "token": "x"},
    ],
)
def test_a_push_needs_a_repository_and_a_token(values: dict[str, str]) -> None:
    with pytest.raises(ValidationError):
        new("hub", **values)


SYSTEM = {"role": "system", "content": "Be brief."}
CHAT = [SYSTEM, {"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]


@pytest.mark.parametrize(
    ("rows", "format", "types", "expected"),
    [
        (
            [{"messages": CHAT}, {"messages": CHAT}],
            "chat",
            {"messages": "STRUCT(role VARCHAR, content VARCHAR)[]"},
            [CHAT[:2]],
        ),
        ([{"prompt": "p", "completion": "c"}], "completion", None, [[{"role": "user", "content": "p"}]]),
        (
            [
                {
                    "input": {"messages": CHAT[:2]},
                    "preferred_output": CHAT[2:],
                    "non_preferred_output": CHAT[2:],
                }
            ],
            "preference",
            {
                "input": "STRUCT(messages JSON)",
                "preferred_output": "JSON[]",
                "non_preferred_output": "JSON[]",
            },
            [CHAT[:2]],
        ),
        ([{"text": "x" * 500}, {"text": " "}], "text", None, [[{"role": "user", "content": "x" * 160}]]),
    ],
)
def test_the_questions_are_the_first_distinct_prompts(
    ada: User,
    make_version: MakeVersion,
    rows: list[dict[str, Any]],
    format: str,
    types: dict[str, str] | None,
    expected: list[Any],
) -> None:
    version = make_version(ada, rows, format=format, types=types)
    found = prompts.candidates(version.id, None)
    assert found[: len(expected)] == expected
    assert found[len(expected)] == [{"role": "user", "content": prompts.FIXED[0]}]


def test_questions_that_leave_no_room_are_not_asked(starter: str) -> None:
    with reading() as session:
        version = session.query(ModelVersionRow).filter_by(model_id=starter).one()
    reference = answers.Reference(models.location(version.id))
    long, short = ([{"role": "user", "content": text}] for text in ("word " * 2000, "Hi"))
    assert reference.choose([long, short]) == [short]


def base_of(kind: str, folder: Path, tokenizer: Path, *, tied: bool = False) -> Path:
    """A random model of an architecture, over the bytes of ``tokenizer``."""
    import torch
    import transformers as t

    size = {
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
    }
    size["tie_word_embeddings"] = tied
    config = getattr(t, f"{kind}Config")(vocab_size=261, max_position_embeddings=128, eos_token_id=2, **size)
    torch.manual_seed(3)
    model = getattr(t, f"{kind}ForCausalLM")(config)
    for name, weights in model.named_parameters():
        if name.endswith("bias"):
            torch.nn.init.normal_(weights)  # zeros would look right anywhere
    model.save_pretrained(folder)
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        shutil.copy(tokenizer / name, folder)
    return folder


def order_of(folder: Path, kind: str = "gguf-f16") -> Order:
    weights = Weights("mdv_x", folder, folder, None, None)
    return Order(
        "exp_x", kind, "", "x.gguf", weights, "float32", True, "x", "", 1, "x", None, None, None, None, {}
    )


@pytest.mark.parametrize("kind", ["Llama", "Mistral", "Qwen2", "Qwen3"])
@pytest.mark.parametrize("tied", [True, False])
def test_every_weight_is_read_back_by_transformers_own_reader(
    kind: str, tied: bool, tiny_base: Path, tmp_path: Path
) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    folder = base_of(kind, tmp_path / "base", tiny_base, tied=tied)
    write_gguf(order_of(folder), folder, tmp_path / "x.gguf", lambda _: None)
    ours = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    theirs = AutoModelForCausalLM.from_pretrained(tmp_path, gguf_file="x.gguf", dtype=torch.float32)
    found = theirs.state_dict()
    assert set(found) == set(ours.state_dict())
    for name, weights in ours.state_dict().items():
        assert torch.allclose(weights, found[name], atol=1e-3, rtol=1e-3), name
    tokens = torch.arange(40).unsqueeze(0)
    assert torch.allclose(ours(tokens).logits, theirs(tokens).logits, atol=2e-3)


@pytest.mark.parametrize(
    ("steps", "name"),
    [
        ([{"type": "ByteLevel", "add_prefix_space": False, "use_regex": True}], "gpt-2"),
        (
            [{"type": "Digits", "individual_digits": True}, {"type": "ByteLevel", "add_prefix_space": False}],
            "smollm",
        ),
        (
            [
                {"type": "Split", "pattern": {"Regex": WORDS % ""}, "behavior": "Isolated"},
                {"type": "ByteLevel", "use_regex": False},
            ],
            "qwen2",
        ),
        (
            [
                {"type": "Split", "pattern": {"Regex": WORDS % "{1,3}"}, "behavior": "Isolated"},
                {"type": "ByteLevel", "use_regex": False},
            ],
            "llama-bpe",
        ),
        ([{"type": "Digits", "individual_digits": False}, {"type": "ByteLevel"}], None),
        ([{"type": "Whitespace"}], None),
        ([{"type": "ByteLevel", "add_prefix_space": True}], None),
    ],
)
def test_only_known_pre_tokenizers_are_named(
    steps: list[dict[str, Any]], name: str | None, tmp_path: Path
) -> None:
    pre = steps[0] if len(steps) == 1 else {"type": "Sequence", "pretokenizers": steps}
    (tmp_path / "tokenizer.json").write_text(json.dumps({"model": {"type": "BPE"}, "pre_tokenizer": pre}))
    (tmp_path / "config.json").write_text(json.dumps({"architectures": ["Qwen2ForCausalLM"]}))
    if name:
        assert mapping_of(tmp_path, tmp_path).pre_tokenizer == name
    else:
        with pytest.raises(NotMapped, match="tokenizer"):
            mapping_of(tmp_path, tmp_path)


def test_the_rules_are_those_of_transformers() -> None:
    from transformers.models.qwen2.tokenization_qwen2 import PRETOKENIZE_REGEX

    assert WORDS % "" == PRETOKENIZE_REGEX


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"architectures": ["GPT2LMHeadModel"]}, "GPT2LMHeadModel"),
        ({"architectures": ["LlamaForCausalLM"], "rope_parameters": {"rope_type": "llama3"}}, "'llama3'"),
        ({"architectures": ["Qwen2ForCausalLM"], "hidden_act": "relu"}, "the activation 'relu'"),
    ],
)
def test_other_architectures_are_refused_by_name(config: dict[str, Any], said: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(NotMapped, match=said) as refused:
        mapping_of(tmp_path, tmp_path)
    assert "LUTHIER_LLAMA_CPP" in str(refused.value)


@pytest.mark.parametrize(
    ("template", "messages"),
    [
        (PLAIN_TEMPLATE, [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]),
        (
            "a {%- generation -%} {{ messages[0]['content'] }} {%- endgeneration %} b",
            [{"role": "user", "content": "x"}],
        ),
    ],
)
def test_the_template_without_marks_renders_the_same(
    template: str, messages: list[dict[str, str]], tmp_path: Path
) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(STARTER_WEIGHTS)
    (tmp_path / "chat_template.jinja").write_text(template)
    marked, bare = (
        tokenizer.apply_chat_template(messages, chat_template=text, tokenize=False)
        for text in (template, template_of(tmp_path))
    )
    assert "generation %}" not in template_of(tmp_path)
    assert "generation -%}" not in template_of(tmp_path)
    assert bare == marked


def test_ollama_gets_the_template_in_its_own_words(ada: User, starter: str) -> None:
    form = make(ada, starter, "gguf-f16").facts["ollama"]
    system = "<|system|>{{ .System }}<|end|>"
    talk = "<|user|>{{ .Prompt }}<|end|><|assistant|>{{ .Response }}<|end|>"
    assert form["template"] == f"{{{{ if .System }}}}{system}{{{{ end }}}}{talk}"
    assert form["stops"] == ["<|end|>"]


CONVERTER = """
import shutil, sys
source, kind = sys.argv[1], sys.argv[sys.argv.index("--outtype") + 1]
if "LUTHIER_DATABASE_URL" in __import__("os").environ: sys.exit("it sees our settings")
open(sys.argv[sys.argv.index("--outfile") + 1], "w").write(f"{kind} of {source}")
"""
ANSWERING = """#!{python}
import http.server, json, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self): self.answer({{"status": "ok"}})
    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.answer({{"content": "{answer}" if asked["temperature"] == 0 else "warm"}})
    def answer(self, body):
        self.send_response(200); self.end_headers(); self.wfile.write(json.dumps(body).encode())
    def log_message(self, *_): pass
http.server.HTTPServer(("127.0.0.1", int(sys.argv[sys.argv.index("--port") + 1])), Handler).serve_forever()
"""


@pytest.fixture
def llama_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A llama.cpp that converts to a line of text and answers every prompt alike."""
    folder = tmp_path / "llama.cpp"
    folder.mkdir()
    (folder / llama_cpp.SCRIPT).write_text(CONVERTER)
    server = folder / llama_cpp.SERVER
    server.write_text(ANSWERING.format(python=sys.executable, answer="Always this."))
    server.chmod(server.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("LUTHIER_LLAMA_CPP", str(folder))
    monkeypatch.setattr(llama_cpp, "find_spec", lambda name: None)
    settings.cache_clear()
    return folder


def test_llama_cpp_converts_and_answers_for_what_is_not_llama_like(
    ada: User, tuned: Callable[..., str], llama_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Path) -> None:
        raise NotMapped("not one of ours")

    monkeypatch.setattr(whole, "mapping_of", refuse)
    export = make(ada, tuned(), "gguf-f16")
    assert export.status == "failed"  # its answers are not the model's, and that is noticed
    assert {check["export"] for check in export.checks} == {"Always this."}
    monkeypatch.setattr(
        whole._Check, "_judge", lambda self, found: [{"same": True, "export": text} for text in found]
    )
    export = make(ada, tuned(name="other"), "gguf-q8_0")
    assert (export.status, export.facts["written_by"], export.facts["checked_by"]) == (
        "ready",
        "llama.cpp",
        "llama.cpp",
    )
    assert exports.open_export(ada, export.id).path.read_text().startswith("q8_0 of ")


def test_a_converter_that_fails_is_quoted(tmp_path: Path, llama_folder: Path) -> None:
    (llama_folder / llama_cpp.SCRIPT).write_text(
        "import sys; sys.exit('NotImplementedError: Architecture x not supported')"
    )
    with pytest.raises(CannotExport, match="Architecture x not supported"):
        llama_cpp.convert(tmp_path, tmp_path / "x.gguf", "gguf-f16")


class Hub:
    """What huggingface_hub's HfApi does, kept in memory."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error, self.files, self.private, self.token = error, set[str](), None, ""

    def connect(self, token: str) -> "Hub":
        self.token = token
        return self

    def create_repo(self, repository: str, *, private: bool, **_: Any) -> str:
        if self.error:
            raise self.error
        self.private = private
        return f"https://hub.example/{repository}"

    def upload_folder(self, *, folder_path: Path, **_: Any) -> None:
        self.files = {file.name for file in folder_path.iterdir()}


def test_push_sends_the_checked_folder_and_keeps_no_token(
    ada: User, tuned: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = Hub()
    monkeypatch.setattr(hub, "_connect", fake.connect)
    export = make(ada, tuned(), "hub", token="hf_secret_token")
    assert export.error is None
    assert (export.status, export.target, export.facts["url"]) == (
        "ready",
        "acme/bot",
        "https://hub.example/acme/bot",
    )
    assert (fake.token, fake.private) == ("hf_secret_token", True)
    assert {
        "model.safetensors",
        "tokenizer.json",
        "chat_template.jinja",
        "README.md",
        "config.json",
    } <= fake.files
    assert export.num_same == 10
    assert [file.name for file in storage.export_dir(export.id).iterdir()] == ["README.md"]
    with pytest.raises(Conflict, match="acme/bot"):
        exports.open_export(ada, export.id)
    for file in settings().data_dir.rglob("*"):
        assert not file.is_file() or b"hf_secret" not in file.read_bytes(), file


@pytest.mark.parametrize(
    ("status", "said"),
    [(401, "refused the token"), (403, "refused the token"), (404, "does not know"), (500, "500")],
)
def test_the_hubs_refusals_are_sentences_without_the_token(
    status: int, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import httpx2
    from huggingface_hub.errors import HfHubHTTPError

    response = httpx2.Response(
        status,
        request=httpx2.Request("POST", "https://hub.example", headers={"authorization": "Bearer hf_x"}),
    )
    monkeypatch.setattr(hub, "_connect", Hub(HfHubHTTPError("no", response=response)).connect)
    with pytest.raises(CannotExport, match=said) as refused:
        hub.push(tmp_path, "acme/bot", token="hf_x", private=True)
    assert "hf_x" not in str(refused.value)
    assert refused.value.__suppress_context__


def test_without_internet_a_push_says_what_to_do_instead(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """huggingface_hub itself, against a port where nobody listens."""
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(CannotExport, match="push it from a machine with internet"):
        hub.push(tmp_path, "acme/bot", token="hf_x", private=True)


@pytest.fixture
def queue(as_servers_do: None) -> Iterator[ExportQueue]:
    made = ExportQueue()
    yield made
    for child in made.children.values():
        child.kill()
        child.wait()


def follow(
    user: User,
    export_id: str,
    queue: ExportQueue,
    done: Callable[[exports.Export], bool],
    seconds: float = 90,
) -> exports.Export:
    def look() -> exports.Export:
        queue.tick()
        return exports.get_export(user, export_id)

    return wait_until(look, done, seconds=seconds)


@pytest.mark.long
def test_a_process_makes_it_with_progress_and_leaves_no_log(
    ada: User, starter: str, queue: ExportQueue
) -> None:
    asked = exports.request_export(ada, starter, new("gguf-f16")).export
    running = follow(ada, asked.id, queue, lambda export: export.progress > 0)
    assert running.status == "running"
    assert running.facts["stage"]
    ready = follow(ada, asked.id, queue, lambda export: export.status != "running")
    assert (ready.status, ready.error) == ("ready", None)
    assert "stage" not in ready.facts
    follow(ada, asked.id, queue, lambda _: not queue.children)
    assert not list((settings().data_dir / "logs").glob("export-*"))


def test_deleting_ends_the_process_and_leaves_nothing(ada: User, starter: str, queue: ExportQueue) -> None:
    asked = exports.request_export(ada, starter, new("merged")).export
    follow(ada, asked.id, queue, lambda export: export.status == "running")
    child = queue.children[(asked.id,)]
    exports.delete_export(ada, asked.id)
    assert child.wait(timeout=60) == 0
    queue.tick()
    assert not list((settings().data_dir / "exports").glob("*"))
    with pytest.raises(NotFound):
        exports.get_export(ada, asked.id)


@pytest.mark.long
def test_a_process_that_dies_leaves_a_failed_export(ada: User, starter: str, queue: ExportQueue) -> None:
    asked = exports.request_export(ada, starter, new("merged")).export
    follow(ada, asked.id, queue, lambda export: export.status == "running")
    queue.children[(asked.id,)].kill()
    failed = follow(ada, asked.id, queue, lambda export: export.status == "failed")
    assert failed.error == CRASHED.message


def test_after_a_restart_the_dead_is_made_again_and_a_push_asks_for_its_token(
    ada: User, starter: str, queue: ExportQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = {"worker_pid": 2**22 + 1, "worker_started": 1.0}
    died = make_export(ada, starter, "gguf-f16", "running", **gone)
    push = make_export(ada, starter, "hub", "waiting", target="acme/bot")
    orphan = storage.export_dir(new_id("exp"))
    orphan.mkdir(parents=True)
    monkeypatch.setattr(queue, "run", lambda: None)
    monkeypatch.setattr(queue, "_start", lambda row, key: None)
    queue.recover()
    assert exports.get_export(ada, died).status == "waiting"
    assert not orphan.exists()
    queue.tick()
    assert exports.get_export(ada, push).error == NO_TOKEN.message


def test_a_living_process_of_the_last_server_is_left_alone(
    ada: User, starter: str, queue: ExportQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    me = psutil.Process()
    export_id = make_export(
        ada, starter, "merged", "running", worker_pid=me.pid, worker_started=me.create_time()
    )
    draft = storage.export_dir(export_id).with_name(f".{export_id}.abcdefgh.tmp")
    draft.mkdir(parents=True)
    monkeypatch.setattr(queue, "run", lambda: None)
    queue.recover()
    queue.tick()
    assert exports.get_export(ada, export_id).status == "running"
    assert draft.is_dir()


def test_only_one_is_made_at_a_time(
    ada: User, starter: str, queue: ExportQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[str] = []
    monkeypatch.setattr(queue, "_start", lambda row, key: started.append(row.id))
    first = exports.request_export(ada, starter, new("merged")).export
    second = exports.request_export(ada, starter, new("gguf-f16")).export
    assert (first.ahead, second.ahead) == (0, 1)
    queue.tick()
    assert started == [first.id]


def test_exports_go_with_their_model(ada: User, tuned: Callable[..., str]) -> None:
    model_id = tuned()
    export_id = make_export(ada, model_id)
    storage.export_dir(export_id).mkdir(parents=True)
    models.delete(ada, model_id)
    assert not storage.export_dir(export_id).exists()
    with reading() as session:
        assert session.get(ExportRow, export_id) is None
