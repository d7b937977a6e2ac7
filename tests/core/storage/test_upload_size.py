"""One limit for every way in: the same size passes or fails, in the same words."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from core import datasets, storage, uploads
from core.config import ROOT, settings
from core.datasets import NewDataset
from core.errors import TooLarge, UnreadableFile
from core.fine_tuning import recipes
from core.people.users import User
from core.storage import upload_size
from core.uploads import NewUpload

MIB = 2**20
REFUSAL = "The file is larger than 1 MiB, the most this server accepts."


def announce(user: User, size: int) -> None:
    uploads.begin(user, NewUpload(filename="a.csv", size_bytes=size))


def paste(user: User, size: int) -> None:
    uploads.from_text(user, "a" * size)


def take_from_folder(user: User, size: int) -> None:
    folder = settings().import_folder_list[0]
    (folder / "a.csv").write_bytes(b"a" * size)
    uploads.from_folder(user, folder.name, "a.csv")


def stage(user: User, size: int) -> None:
    file = storage.new_staging_path()
    row = b"1" * 99 + b"\n"
    file.write_bytes((b"a\n" + row * (size // len(row) + 1))[:size])
    datasets.create(user, NewDataset(), file=file, filename="a.csv")


WAYS = {"announced": announce, "pasted": paste, "folder": take_from_folder, "staged": stage}


@pytest.fixture(autouse=True)
def one_mebibyte(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "shelf").mkdir()
    monkeypatch.setenv("LUTHIER_MAX_UPLOAD_MB", "1")
    monkeypatch.setenv("LUTHIER_IMPORT_FOLDERS", str(tmp_path / "shelf"))
    settings.cache_clear()


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_every_way_in_has_the_same_limit_to_the_byte(way: Any, ada: User) -> None:
    way(ada, MIB)
    with pytest.raises(TooLarge) as refused:
        way(ada, MIB + 1)
    assert refused.value.message == REFUSAL


@pytest.mark.parametrize("way", [announce, take_from_folder, stage], ids=["announced", "folder", "staged"])
def test_every_way_in_refuses_an_empty_file(way: Any, ada: User) -> None:
    with pytest.raises(UnreadableFile, match=r"^The file is empty\.$"):
        way(ada, 0) if way is not stage else datasets.create(
            ada, NewDataset(), file=empty_file(), filename="a.csv"
        )


def empty_file() -> Path:
    file = storage.new_staging_path()
    file.touch()
    return file


def test_table_from_python_has_the_limit_too(ada: User) -> None:
    noise = pd.Series(range(400_000)).mul(2654435761).mod(2**61)
    with pytest.raises(TooLarge) as refused:
        datasets.create(ada, NewDataset(name="noise"), table=pd.DataFrame({"noise": noise}))
    assert refused.value.message == REFUSAL


@pytest.mark.parametrize("mebibytes", [1, 64, 999, 1024, 2048, 20480])
def test_words_and_bytes_are_the_same_size(mebibytes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LUTHIER_MAX_UPLOAD_MB", str(mebibytes))
    settings.cache_clear()
    number, unit = upload_size.in_words().split()
    assert unit == "MiB"
    assert int(number.replace(",", "")) * MIB == upload_size.most_bytes()


def test_streamlits_own_field_takes_what_a_recipe_may_be_and_no_more() -> None:
    """It is used for recipes only, and tells people its limit."""
    config = (ROOT / ".streamlit" / "config.toml").read_text(encoding="utf-8")
    limit = next(line for line in config.splitlines() if line.startswith("maxUploadSize"))
    mebibytes = int(limit.partition("=")[2].partition("#")[0])
    assert mebibytes == -(-recipes.MAX_CHARACTERS * 4 // MIB)
