"""The first part of the form: which version to learn from, how its columns are read, and by which method.

What is in a row decides which methods can learn from it (``training.METHODS[…].formats``); the likeliest one
is chosen.
"""

from dataclasses import dataclass

import streamlit as st

from core import datasets, fine_tuning, formats, training
from core.errors import LuthierError
from core.fine_tuning import NewJob
from core.fine_tuning.sources import Base, Sources
from core.formats import Format
from core.listing import ListQuery
from core.people.users import User
from core.ui import places, show
from core.ui.datasets.column_mapping import Columns, known_as, pick_columns

METHOD, METHOD_FOR = "ft_method", "ft_method_for"


@dataclass(frozen=True)
class Data:
    """The version to learn from and how its columns are read;
    ``columns`` None: it has a training format by itself."""

    dataset: datasets.Dataset
    version: datasets.Version
    columns: Columns | None
    format: Format


class Handed:
    """What this run of the page has looked up, passed to a part that is a fragment.

    It can be taken once: a fragment that runs again by itself looks up anew, since it may be gone by then.
    """

    def __init__(self, sources: Sources | None) -> None:
        self._found = sources

    def take(self) -> Sources | None:
        sources, self._found = self._found, None
        return sources


def look_up(user: User, new: NewJob, base: Base) -> Sources | None:
    """Base and rows, once for the whole page; None where they cannot be found: each part then says why."""
    try:
        return fine_tuning.look_up(user, new, base=base)
    except LuthierError:
        return None


def pick_data(
    user: User, wanted: str | None, number: str | None, *, columns: Columns | None, given: NewJob | None
) -> Data | None:
    """Dataset, version and columns. None while there is nothing to choose, or a needed column is missing."""
    dataset = _pick_dataset(user, wanted or (given.dataset_id if given else None))
    if dataset is None:
        return None
    version = _pick_version(user, dataset, number, given.dataset_version_id if given else None)
    if version is None:
        return None
    known = formats.own_format(version.columns, version.format)
    mapping = columns or (given.columns if given else None) or {}
    if known.trainable:
        st.caption(
            f":green[:material/check_circle:] Recognised as **{known.title.lower()}**"
            f"{known_as(known, version.columns)}: nothing needs to be mapped."
        )
        if not st.toggle("Read other columns instead", key="ft_remap", value=bool(mapping)):
            return Data(dataset, version, None, known)
    picked = pick_columns([column["name"] for column in version.columns], mapping)
    if picked is None:
        return None
    if len(set(picked.values())) < len(picked):
        st.warning(
            "One column cannot play two roles. Choose another for one of them.", icon=":material/call_merge:"
        )
        return None
    return Data(dataset, version, picked, formats.mapped(version.columns, picked))


def pick_method(data: Data, given: NewJob | None) -> str:
    """One of the methods that learn from such rows; the others say what they would need."""
    fitting = [method for method in training.METHODS.values() if data.format.name in method.formats]
    names = [method.name for method in fitting]
    state = st.session_state
    is_for = (data.version.id, data.format.name)
    if state.get(METHOD_FOR) != is_for or state.get(METHOD) not in names:
        is_given = given is not None and METHOD_FOR not in state
        likely = given.method if given and is_given else training.likely_method(data.format.name)
        state[METHOD_FOR], state[METHOD] = is_for, likely if likely in names else names[0]
    chosen: str = st.radio(
        "Method",
        names,
        format_func=lambda name: training.METHODS[name].title,
        captions=[method.help for method in fitting],
        key=METHOD,
        persist_state="page",
    )
    for method in training.METHODS.values():
        if method not in fitting:
            needed = " or ".join(formats.FORMATS[name].title.lower() for name in method.formats)
            st.caption(f":material/block: {method.title} learns from {needed}.")
    return chosen


def _pick_dataset(user: User, wanted: str | None) -> datasets.Dataset | None:
    by_id = {
        d.id: d for d in datasets.list_datasets(user, datasets.DatasetList(status="ready", limit=100)).items
    }
    if wanted and wanted not in by_id:
        with show.guarded():
            by_id[wanted] = datasets.get(user, wanted)
    if not by_id:
        show.empty(
            "No dataset yet",
            "A model learns from rows. Upload a file, or add a sample, and come back.",
            "database",
        )
        places.button("Go to datasets", "datasets", key="ft_to_datasets", icon="database", primary=True)
        return None
    ids = list(by_id)
    chosen = st.selectbox(
        "Dataset",
        ids,
        index=ids.index(wanted) if wanted in by_id else 0,
        format_func=lambda id_: by_id[id_].name,
        key="ft_dataset",
        on_change=_remember_dataset,
    )
    return by_id[chosen]


def _remember_dataset() -> None:
    st.query_params["dataset"] = st.session_state["ft_dataset"]
    for name in ("version", "columns"):
        st.query_params.pop(name, None)


def _pick_version(
    user: User, dataset: datasets.Dataset, number: str | None, id_: str | None
) -> datasets.Version | None:
    every = datasets.list_versions(user, dataset.id, ListQuery(limit=100)).items
    ready = {
        v.version: v for v in sorted(every, key=lambda v: v.version, reverse=True) if v.status == "ready"
    }
    if not ready:
        st.warning("No version of this dataset is ready yet.", icon=":material/hourglass_top:")
        return None
    numbers = list(ready)
    wanted = next(
        (v.version for v in ready.values() if str(v.version) == number or (v.id == id_ and not number)),
        numbers[0],
    )
    chosen = st.selectbox(
        "Version",
        numbers,
        index=numbers.index(wanted),
        format_func=lambda n: _describe_version(ready[n], newest=n == numbers[0]),
        key=f"ft_version_{dataset.id}",
    )
    return ready[chosen]


def _describe_version(version: datasets.Version, *, newest: bool) -> str:
    note = f" · {version.note}" if version.note else ""
    return f"v{version.version}{' (newest)' if newest else ''} · {show.count(version.num_rows, 'row')}{note}"
