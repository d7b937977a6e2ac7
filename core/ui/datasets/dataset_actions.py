"""What can be done with a dataset: the bar below its name, its dialogs, and the "Use it" tab."""

from urllib.parse import quote, urlencode

import streamlit as st

from core import datasets, formats, query
from core.chats import commands
from core.datasets import Dataset, DatasetChange, Version
from core.fields import parse
from core.people.users import User
from core.ui import dialogs, forms, places, session, show
from core.ui.datasets import column_mapping, download_words, training_words, use_snippets
from core.ui.datasets.use_snippets import TASKS, SnippetFacts
from core.ui.people import scope_words
from core.ui.uploads import waiting_uploads

DELETED = "_deleted_dataset"
FILES = {
    "original": ("The uploaded file", "description"),
    "parquet": ("Parquet", "view_column"),
    "csv": ("CSV", "csv"),
    "jsonl": ("JSON Lines", "data_object"),
    "rejects": ("Skipped rows", "rule"),
}
BLOCKING = "The following needs it and has to go first:"
USING = "The following was made of it or uses it, and stays:"


def was_just_deleted(dataset_id: str) -> bool:
    """Whether this page's own dataset is gone because the reader has just deleted it."""
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
        sql = query.first_query(query.table_name(user, version.id))
        places.button("Question with SQL", "sql", key="use_sql", icon="terminal", sql=sql)
        with st.popover("Download", icon=":material/download:", key="download"):
            show_downloads(dataset, version)
        chosen = st.menu_button(
            "More", ["Rename", "Delete"], icon=":material/more_horiz:", key="dataset_more"
        )
    if chosen == "Rename":
        _ask_to_rename(user, dataset)
    if chosen == "Delete":
        ask_to_delete(user, dataset)


def show_downloads(dataset: Dataset, version: Version) -> None:
    """A button for each form in which the version can be had."""
    for form, (label, icon) in FILES.items():
        if _exists(form, version):
            st.link_button(
                label,
                download_path(dataset, version, form),
                icon=f":material/{icon}:",
                width="stretch",
                help=download_words.help_of(form, version.columns),
            )


def _exists(form: str, version: Version) -> bool:
    """Only an upload has a file it came from, and only some have rows that were skipped."""
    if form == "rejects":
        return version.skipped_rows > 0
    return form != "original" or version.origin == "upload"


def show_after_failure(user: User, dataset: Dataset) -> None:
    """A dataset without any version: all that is left is to delete it and try another file."""
    st.caption(
        "Nothing of it was kept but the upload: read it with other options, "
        "or mend the file and upload it again."
    )
    waiting_uploads.show_way_back(user, dataset.id)
    if st.button("Delete this entry", key="delete_failed", icon=":material/delete:"):
        ask_to_delete(user, dataset)


def download_path(dataset: Dataset, version: Version, form: str) -> str:
    return f"/download/{quote(dataset.id)}?{urlencode({'version': version.version, 'as': form})}"


def show_uses(user: User, dataset: Dataset, version: Version) -> None:
    """Next steps here, and code for everywhere else."""
    table = query.table_name(user, version.id)
    _show_next_steps(dataset, version, table)
    st.subheader("From your own program", anchor=False)
    mapping = _mapping(version)
    use = SnippetFacts(session.origin(), dataset, version, table, mapping)
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        name = st.segmented_control(
            "What to do",
            list(TASKS),
            default="download",
            required=True,
            format_func=lambda task: TASKS[task].title,
            label_visibility="collapsed",
            key="use_task",
            bind="query-params",
        )
        language = st.segmented_control(
            "Language",
            ["python", "bash"],
            default="python",
            required=True,
            format_func={"python": "Python", "bash": "curl"}.__getitem__,
            label_visibility="collapsed",
            key="use_language",
            bind="query-params",
        )
    scope = scope_words.TITLES[TASKS[name].scope]
    st.caption(
        f"{TASKS[name].about} The API key comes from the environment variable `LUTHIER_API_KEY`; "
        f"it may be narrowed to *{scope}*."
    )
    places.link("api_keys", "Make a key", icon="key")
    if name == "tune" and mapping is not None:
        st.caption(
            "Its columns are mapped as their names suggest; see the Training view for another mapping."
        )
    st.code(use_snippets.build(TASKS[name], use, language), language=language, wrap_lines=True)


def _show_next_steps(dataset: Dataset, version: Version, table: str) -> None:
    verdict = training_words.judge(version.format, version.columns, version.training, version.num_rows)
    with st.grid(3, min_column_width=250):
        with st.container(border=True, height="stretch"):
            st.markdown(":material/model_training: **Fine-tune a model**")
            st.caption(f"{verdict.state}. {show.plain(verdict.why)}")
            st.space("stretch")
            places.button(
                "Choose a base",
                "fine_tuning",
                key="use_tab_fine_tune",
                primary=True,
                dataset=dataset.id,
                version=version.version,
            )
        with st.container(border=True, height="stretch"):
            st.markdown(":material/terminal: **Question it with SQL**")
            st.caption(f"In SQL this version is the table {show.code(table)}.")
            st.space("stretch")
            places.button("Open in SQL", "sql", key="use_tab_sql", sql=query.first_query(table))
        with st.container(border=True, height="stretch"):
            st.markdown(":material/forum: **Talk about it**")
            usages = " and ".join(f"`{command.usage}`" for command in commands.about_data())
            st.caption(f"Attach it to a chat: {usages} answer without any model.")
            st.space("stretch")
            places.button("Open a chat", "chat", key="use_tab_chat", dataset=dataset.id)


def _mapping(version: Version) -> column_mapping.Columns | None:
    """For a plain table, the likely columns;
    None where the format is recognised or nothing can be guessed."""
    if formats.FORMATS[version.format].trainable:
        return None
    names = [column["name"] for column in version.columns]
    return column_mapping.guess_columns(column_mapping.guess_format(names), names) or None


@dialogs.dialog("Rename", icon=":material/edit:")
def _ask_to_rename(user: User, dataset: Dataset) -> None:
    with st.form("rename_form", border=False):
        st.text_input("Name", value=dataset.name, key="dataset_name", max_chars=200)
        st.text_area("Description", value=dataset.description, key="dataset_description", max_chars=2000)
        forms.submit("rename_form", "Save", lambda: _rename(user, dataset))
    forms.settle("rename_form")


def _rename(user: User, dataset: Dataset) -> None:
    chosen = st.session_state
    change = parse(
        DatasetChange, name=(chosen.dataset_name or "").strip(), description=chosen.dataset_description or ""
    )
    datasets.update(user, dataset.id, change)


def ask_to_delete(user: User, dataset: Dataset) -> None:
    def delete() -> None:
        datasets.delete(user, dataset.id)
        st.session_state[DELETED] = dataset.id
        show.flash(f"{dataset.name} is deleted.", icon="delete")

    versions = f" and its {dataset.version} versions" if (dataset.version or 1) > 1 else ""
    text = (
        f"**{show.plain(dataset.name)}**{versions} will be gone for good. "
        f"Models that were trained on it stay."
    )
    show.confirm("delete_dataset", "Delete this dataset?", text + _describe_uses(user, dataset), delete)


def _describe_uses(user: User, dataset: Dataset) -> str:
    """What needs it, and what else it was used for, as a list."""
    all_uses = datasets.uses(user, dataset.id)
    parts = [
        (BLOCKING, [use for use in all_uses if use.blocks]),
        (USING, [use for use in all_uses if not use.blocks]),
    ]
    return "".join(
        f"\n\n{title}\n" + "".join(f"\n- {use.kind} {show.plain(use.name or use.id)}" for use in uses[:10])
        for title, uses in parts
        if uses
    )
