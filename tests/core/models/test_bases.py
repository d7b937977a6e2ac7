"""Bases that an admin adds: folders that stay where they are, and GGUF files that are unpacked."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from core import models, storage
from core.config import ROOT
from core.db import reading
from core.errors import DiskFull, Forbidden, Unavailable, ValidationError
from core.exports.making.gguf_file import write_gguf
from core.exports.making.order import Order
from core.inference import check_model, gguf_reading
from core.inference.gguf_reading import GgufHead
from core.models import NewBase
from core.people.users import User
from core.tables import ModelVersionRow
from core.weights import Weights

STARTER = ROOT / "core" / "training" / "starter" / "weights"


def written(file: Path, kind: str = "gguf-f16") -> Path:
    """The starter as a GGUF file."""
    weights = Weights("mdv_x", STARTER, STARTER, None, None)
    told = (
        "exp_x",
        kind,
        "",
        "x.gguf",
        weights,
        "float32",
        True,
        "x",
        "",
        1,
        "x",
        None,
        None,
        None,
        None,
        {},
    )
    write_gguf(Order(*told), STARTER, file, lambda _: None)
    return file


def nothing_was_kept(data_dir: Path) -> bool:
    with reading() as session:
        rows = session.query(ModelVersionRow).count()
    return rows == 0 and (not (data_dir / "models").exists() or list((data_dir / "models").iterdir()) == [])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "dtype", "away"), [("gguf-f16", "float16", 1e-3), ("gguf-q8_0", "bfloat16", 2e-2)]
)
def test_a_gguf_file_becomes_a_base_with_its_weights_and_tokenizer(
    ada: User, bob: User, tmp_path: Path, kind: str, dtype: str, away: float
) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    file = written(tmp_path / "starter.gguf", kind)
    for name in ("tokenizer_config.json", "chat_template.jinja", "config.json"):
        (tmp_path / name).write_text("{}")  # of another model: nothing of it may get in
    added = models.add_base(ada, NewBase(name="from a file", source=str(file)))
    assert (added.type, added.capabilities["finetune"]) == ("base", True)
    assert models.get(bob, added.id).num_parameters == 4_000_512
    folder = models.location(added.latest_version_id or "").folder
    assert folder == storage.model_dir(added.latest_version_id or "")
    ours, theirs = (
        AutoModelForCausalLM.from_pretrained(where, dtype="auto", local_files_only=True)
        for where in (STARTER, folder)
    )
    assert theirs.dtype == getattr(torch, dtype)
    assert not hasattr(theirs.config, "quantization_config")
    found = theirs.state_dict()
    for name, weights in ours.state_dict().items():
        assert torch.allclose(weights.float(), found[name].float(), atol=away, rtol=away), name
    asked = [{"role": "user", "content": "Hello, wörld 123"}]
    texts = [AutoTokenizer.from_pretrained(where) for where in (STARTER, folder)]
    prompts = [text.apply_chat_template(asked, add_generation_prompt=True)["input_ids"] for text in texts]
    assert prompts[0] == prompts[1]
    assert texts[0].eos_token_id == theirs.generation_config.eos_token_id


def cut_off(file: Path) -> None:
    written(file)
    file.write_bytes(file.read_bytes()[:20_000])


def another_kind(file: Path) -> None:
    import gguf

    writer = gguf.GGUFWriter(file, "clip")
    writer.add_type("mmproj")
    finish(writer)


def one_part(file: Path) -> None:
    import gguf

    writer = gguf.GGUFWriter(file, "llama")
    writer.add_uint16("split.count", 3)
    finish(writer)


def unknown_architecture(file: Path) -> None:
    import gguf

    finish(gguf.GGUFWriter(file, "brontosaurus"))


def finish(writer: object) -> None:
    import numpy as np

    writer.add_tensor("a.weight", np.zeros((2, 32), dtype=np.float32))  # type: ignore[attr-defined]
    for step in ("write_header_to_file", "write_kv_data_to_file", "write_tensors_to_file", "close"):
        getattr(writer, step)()


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda file: None, "is missing: there is no such file"),
        (lambda file: file.mkdir(), "is missing: there is no such file"),
        (lambda file: file.write_bytes(b""), "is no GGUF file"),
        (lambda file: file.write_bytes(b"PK" * 100), "is no GGUF file"),
        (lambda file: file.write_bytes(b"GGUF" + b"\xff" * 100), "is a broken or cut off GGUF file"),
        pytest.param(cut_off, "is a broken or cut off GGUF file", marks=pytest.mark.slow),
        (another_kind, "holds no whole model: it is a file of the kind mmproj"),
        (one_part, "is one of 3 parts"),
        pytest.param(unknown_architecture, "its architecture is brontosaurus", marks=pytest.mark.slow),
    ],
)
def test_what_is_no_model_in_a_gguf_file_is_named_without_its_place(
    tmp_path: Path, make: Callable[[Path], object], said: str
) -> None:
    """As the process that looks at models says it."""
    file = tmp_path / "my-model.gguf"
    make(file)
    draft = tmp_path / "draft"
    draft.mkdir()
    error = check_model.check(str(file), str(draft))["error"]
    assert error.startswith('"my-model.gguf" ')
    assert said in error
    assert str(tmp_path) not in error
    assert list(draft.iterdir()) == []


def test_what_is_no_gguf_file_leaves_nothing(ada: User, tmp_path: Path, data_dir: Path) -> None:
    file = tmp_path / "secret place" / "my-model.GGUF"
    file.parent.mkdir()
    file.write_bytes(b"PK")
    with pytest.raises(ValidationError, match=r'"my-model\.GGUF" is no GGUF file') as refused:
        models.add_base(ada, NewBase(name="x", source=str(file)))
    assert "secret" not in refused.value.message
    assert [detail.field for detail in refused.value.details] == ["source"]
    assert nothing_was_kept(data_dir)


def test_a_disk_too_small_for_the_weights_is_said_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "my-model.gguf"
    another_kind(file)
    monkeypatch.setattr(
        gguf_reading, "read_head", lambda _: GgufHead("llama", "model", 1, "bfloat16", 10**15)
    )
    assert "needs 2000000.0 GB once it is unpacked" in check_model.check(str(file), str(tmp_path))["error"]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "tokenizer.json"])
def test_a_broken_folder_is_named_without_its_place(
    ada: User, tiny_base: Path, tmp_path: Path, data_dir: Path, name: str
) -> None:
    folder = tmp_path / "secret place" / "my-model"
    shutil.copytree(tiny_base, folder)
    (folder / name).unlink()
    (folder / name).symlink_to("/nowhere/at/all")
    with pytest.raises(ValidationError) as refused:
        models.add_base(ada, NewBase(name="x", source=str(folder)))
    assert '"my-model" ' in refused.value.message
    assert not any(place in refused.value.message for place in ("secret", "nowhere"))
    assert nothing_was_kept(data_dir)


@pytest.mark.parametrize(
    "source", ["/" + "x" * 500, "~nobody-at-all/model", "~/nothing here/x.gguf", "../../x"]
)
def test_odd_places_are_sentences(ada: User, data_dir: Path, source: str) -> None:
    with pytest.raises((ValidationError, Unavailable)):
        models.add_base(ada, NewBase(name="x", source=source))
    assert nothing_was_kept(data_dir)


def test_only_an_admin_adds_one_and_not_on_a_full_disk(
    ada: User, bob: User, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    new = NewBase(name="x", source=str(tmp_path / "x.gguf"))
    with pytest.raises(Forbidden):
        models.add_base(bob, new)

    def fail(_needed: int = 0) -> None:
        raise DiskFull

    monkeypatch.setattr(storage, "require_space", fail)
    with pytest.raises(DiskFull):
        models.add_base(ada, new)
