"""What can be done with a dataset: the bar below its name, its dialogs, and the "Use it" tab."""

from urllib.parse import quote, urlencode

import streamlit as st

from core import datasets
from core.datasets import Dataset, DatasetChange, Version
from core.fields import parse
from core.ui import forms, places, session, show
from core.users import User

DELETED = "_deleted_dataset"
FILES = {
    "original": ("The uploaded file", "description"),
    "parquet": ("Parquet", "view_column"),
    "csv": ("CSV", "csv"),
    "jsonl": ("JSON Lines", "data_object"),
}


def was_just_deleted(dataset_id: str) -> bool:
    """Whether this page's own dataset is gone because the reader has just said so."""
    return bool(dataset_id) and st.session_state.pop(DELETED, None) == dataset_id


def show_bar(user: User, dataset: Dataset, version: Version) -> None:
    with st.container(horizontal=True, key="dataset_actions"):
        places.button(
            "Fine-tune",
            "fine_tuning",
            key="use_fine_tune",
            icon="model_training",
            primary=True,
            dataset=dataset.id,
            version=version.version,
        )
        places.button("Question with SQL", "sql", key="use_sql", icon="terminal", sql=first_query(dataset, version))
        with st.popover("Download", icon=":material/download:", key="download"):
            for form, (label, icon) in FILES.items():
                if form != "original" or version.sql is None:
                    st.link_button(label, download_path(dataset, version, form), icon=f":material/{icon}:", width="stretch")
        chosen = st.menu_button("More", ["Rename", "Delete"], icon=":material/more_horiz:", key="dataset_more")
    if chosen == "Rename":
        _ask_to_rename(user, dataset)
    if chosen == "Delete":
        ask_to_delete(user, dataset)


def show_after_failure(user: User, dataset: Dataset) -> None:
    """A dataset without any version: all that is left is to delete it and try another file."""
    st.caption("Nothing of it was kept. Mend the file, or read it with other options, and upload it again.")
    if st.button("Delete this entry", key="delete_failed", icon=":material/delete:"):
        ask_to_delete(user, dataset)


def download_path(dataset: Dataset, version: Version, form: str) -> str:
    return f"/download/{quote(dataset.id)}?{urlencode({'version': version.version, 'as': form})}"


def first_query(dataset: Dataset, version: Version) -> str:
    """A query to start from, on the version that is shown."""
    name = dataset.name if version.version == dataset.version else f"{dataset.name}@{version.version}"
    return f"SELECT *\nFROM {quoted(name)}\nLIMIT 100"


def quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def show_uses(user: User, dataset: Dataset, version: Version) -> None:
    train, question, call = st.columns(3)
    with train.container(border=True, height="stretch"):
        st.markdown(":material/model_training: **Fine-tune a model**")
        st.caption(_training_words(version))
        st.space("stretch")
        places.button(
            "Choose a base", "fine_tuning", key="use_tab_fine_tune", primary=True, dataset=dataset.id, version=version.version
        )
    with question.container(border=True, height="stretch"):
        st.markdown(":material/terminal: **Question it with SQL**")
        st.caption(f"Its table is {show.code(quoted(dataset.name))}; an older version is {show.code(quoted(dataset.name + '@1'))}.")
        st.space("stretch")
        places.button("Open in SQL", "sql", key="use_tab_sql", sql=first_query(dataset, version))
    with call.container(border=True, height="stretch"):
        st.markdown(":material/forum: **Talk about it**")
        st.caption("Attach it to a chat: `/describe` and `/sql SELECT …` answer without any model.")
        st.space("stretch")
        places.button("Open a chat", "chat", key="use_tab_chat", dataset=dataset.id)
    st.markdown("**From your own program**")
    st.code(_snippet(dataset, version, session.origin()), language="python")


def _training_words(version: Version) -> str:
    training = version.training
    if version.format == "table" or training is None:
        return "A plain table: you choose which column is the prompt and which the answer."
    if training["ok"]:
        return f"{show.count(training['num_examples'], 'example')} in the {version.format} format, ready for training."
    errors = training["errors"]
    first = f" Line {errors[0]['line']}: {show.plain(errors[0]['message'])}." if errors else ""
    return f"Looks like the {version.format} format, but {show.count(len(errors), 'row')} would not train.{first}"


def _snippet(dataset: Dataset, version: Version, origin: str) -> str:
    return f'''import requests

session = requests.post("{origin}/api/auth/login", json={{"email": "…", "password": "…"}}).json()
headers = {{"Authorization": f"Bearer {{session['access_token']}}"}}

dataset = "{origin}/api/datasets/{dataset.id}"
page = requests.get(dataset + "/preview?version={version.version}&limit=20", headers=headers).json()
file = requests.get(dataset + "/content?version={version.version}&as=parquet", headers=headers).content'''


@st.dialog("Rename", icon=":material/edit:")
def _ask_to_rename(user: User, dataset: Dataset) -> None:
    with st.form("rename_form", border=False):
        st.text_input("Name", value=dataset.name, key="dataset_name", max_chars=200)
        st.text_area("Description", value=dataset.description, key="dataset_description", max_chars=2000)
        forms.submit("rename_form", "Save", lambda: _rename(user, dataset))
    forms.settle("rename_form")


def _rename(user: User, dataset: Dataset) -> None:
    chosen = st.session_state
    change = parse(DatasetChange, name=(chosen.dataset_name or "").strip(), description=chosen.dataset_description or "")
    datasets.update(user, dataset.id, change)


def ask_to_delete(user: User, dataset: Dataset) -> None:
    def delete() -> None:
        datasets.delete(user, dataset.id)
        st.session_state[DELETED] = dataset.id
        show.flash(f"{dataset.name} is deleted.", icon="delete")

    versions = f" and its {dataset.version} versions" if (dataset.version or 1) > 1 else ""
    text = f"**{show.plain(dataset.name)}**{versions} will be gone for good. Models that were trained on it stay."
    show.confirm("delete_dataset", "Delete this dataset?", text, delete)
