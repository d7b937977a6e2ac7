"""The Training view tab: what a model would read of a version, and why it cannot read the rest.

The recognised format comes first; every other one is a click away and asks which column plays which role.
What is chosen lives in the address (``training_as`` and the columns), and goes along into the form of a
fine-tuning.
"""

from collections.abc import Mapping
from typing import Any

import streamlit as st

from core import datasets, formats
from core.datasets import Dataset, TrainingView, Version
from core.formats import ChatExample, Example, Format, PreferenceExample
from core.people.users import User
from core.ui import conversation, lists, places, show
from core.ui.datasets import column_mapping
from core.ui.datasets.column_mapping import Columns
from core.ui.reports import quality_view

PER_PAGE, ERRORS_PER_PAGE = 5, 10
LONGEST = 2_000  # characters of one message that are drawn; the row has all of them
ORDER = ("chat", "completion", "text", "preference")


def show_training(user: User, dataset: Dataset, version: Version) -> None:
    if not version.num_rows:
        show.empty("Nothing to learn", "This version has no rows.", icon="hourglass_empty")
        return
    shape, columns = _choose(version)
    if shape is None:
        return
    view = _view_of(user, user.id, version.id, tuple((columns or {}).items()))
    with st.container(border=True, key="training_verdict"):
        _show_verdict(dataset, version, shape, columns, view)
    _show_numbers(view)
    _show_remarks(view)
    if view.errors:
        _show_errors(version, view)
    _show_examples(user, version, columns)


@st.cache_data(max_entries=50, show_spinner="Reading the rows as a model would …")
def _view_of(
    _user: User, user_id: str, version_id: str, columns: tuple[tuple[str, str], ...]
) -> TrainingView:
    """Versions never change, so what they teach stays true."""
    return datasets.view_for_training(_user, version_id, dict(columns) or None)


def _choose(version: Version) -> tuple[Format | None, Columns | None]:
    """The format to read the rows as, and its columns when they are not its own.

    (None, None) while a column is missing.
    """
    native = formats.FORMATS[version.format]
    names = [column["name"] for column in version.columns]
    offered = [formats.FORMATS[name] for name in ORDER]
    first = native if native.trainable else column_mapping.guess_format(names)
    shape = formats.FORMATS[
        st.segmented_control(
            "Read each row as" if native.trainable else "This is a plain table. Read each row as",
            [format_.name for format_ in offered],
            default=first.name,
            required=True,
            format_func=lambda name: _describe(formats.FORMATS[name], native),
            help="\n\n".join(f"**{format_.title}**: {format_.help}" for format_ in offered),
            key="training_as",
            bind="query-params",
        )
    ]
    st.caption(_explain(shape, native, column_mapping.known_as(native, version.columns)))
    if shape is native:
        return shape, None
    columns = column_mapping.pick_roles(shape, names, {}, key=f"training_{shape.name}", bind=True)
    if columns is not None and len(set(columns.values())) < len(columns):
        st.warning(
            "One column cannot play two roles. Choose another for one of them.", icon=":material/call_merge:"
        )
        return None, None
    return (shape, columns) if columns else (None, None)


def _describe(format_: Format, native: Format) -> str:
    return f"{format_.title} · recognised" if format_ is native else format_.title


def _explain(shape: Format, native: Format, known_as: str) -> str:
    if shape is native:
        return (
            f"Recognised by its columns{known_as}. {shape.help} "
            "Choose another format to see what else it could teach."
        )
    return (
        f"{shape.help} Its columns are guessed from their names; the examples below follow what you choose."
    )


def _show_verdict(
    dataset: Dataset, version: Version, shape: Format, columns: Columns | None, view: TrainingView
) -> None:
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        with st.container(width="stretch", gap=None):
            st.markdown(_verdict(shape, view))
            st.caption(_reason(view))
        places.button(
            "Fine-tune on this version",
            "fine_tuning",
            key="training_fine_tune",
            icon="model_training",
            primary=view.ok,
            disabled=not view.num_examples,
            dataset=dataset.id,
            version=version.version,
            columns=column_mapping.to_address(columns),
        )


def _verdict(shape: Format, view: TrainingView) -> str:
    title = shape.title.lower()
    if view.ok:
        return f":green[:material/check_circle:] **Trains as {title}**"
    if view.num_examples:
        return f":orange[:material/warning:] **Some rows do not train as {title}**"
    return f":red[:material/cancel:] **Does not train as {title}**"


def _reason(view: TrainingView) -> str:
    scope = (
        ""
        if view.num_checked == view.num_rows
        else f" among the first {view.num_checked:,}; a job reads all when it starts"
    )
    if view.ok:
        return f"{show.count(view.num_examples, 'example')}, nothing wrong with any of them{scope}."
    first = next((error for error in view.errors if error.get("line")), None)
    where = (
        f" First in row {first['line']:,}: {show.code(first['field'])} {show.plain(first['message'])}."
        if first
        else ""
    )
    return (
        f"{show.count(view.num_bad, 'row')} cannot be learned{scope}.{where} A job starts when every row "
        f"can be."
    )


def _show_numbers(view: TrainingView) -> None:
    with st.grid(4, min_column_width=150):
        st.metric("Examples", show.number(view.num_examples), border=True)
        st.metric("Cannot be learned", show.number(view.num_bad), border=True)
        st.metric("Empty rows", _share(view.num_empty, view), border=True, help=EMPTY_HELP)
        st.metric("Very short answers", _share(view.num_short, view), border=True, help=SHORT_HELP)
    if view.words:
        sampled = (
            ""
            if view.num_sampled == view.num_rows
            else f" Shares and lengths are of the first {view.num_sampled:,} rows."
        )
        st.caption(
            f"Half of the examples teach {show.count(view.words['median'], 'word')} or fewer, "
            f"the longest {view.words['longest']:,}.{sampled}"
        )


def _show_remarks(view: TrainingView) -> None:
    """What stands in the rows and is not learned."""
    for remark in view.remarks:
        icon = ":orange[:material/warning:]" if remark["level"] == "warn" else ":material/info:"
        st.caption(f"{icon} {show.plain(remark['message'])}")


EMPTY_HELP = "Rows that lack what is to be learned: an empty question or answer, no messages, no text."
SHORT_HELP = (
    "Examples that teach fewer than three words. Right for labels and yes or no, "
    "a sign of broken data otherwise."
)


def _share(count: int, view: TrainingView) -> str:
    share = count / max(view.num_sampled, 1)
    return "none" if not count else f"{share:.0%}" if share >= 0.005 else f"{show.number(count)} rows"


def _show_errors(version: Version, view: TrainingView) -> None:
    """The first hundred, each with the way to its row."""
    title = f"What is wrong: {show.count(view.num_bad, 'row')}"
    with st.expander(title, icon=":material/rule:", expanded=not view.ok, key="training_errors"):
        pages = -(-len(view.errors) // ERRORS_PER_PAGE)
        at = min(lists.current_page("training_errors_page"), pages)
        for number, error in enumerate(view.errors[(at - 1) * ERRORS_PER_PAGE : at * ERRORS_PER_PAGE]):
            _show_error(version, error, number)
        with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
            st.caption(_advice(view), width="stretch")
            if pages > 1:
                st.pagination(pages, key="training_errors_page")


def _show_error(version: Version, error: Mapping[str, Any], number: int) -> None:
    with st.container(
        horizontal=True, vertical_alignment="center", gap="xsmall", key=f"training_error_{number}"
    ):
        if error.get("line"):
            _link_to_row(version, error["line"], key=f"training_error_row_{number}")
        st.markdown(f"{show.code(error['field'])} {show.plain(error['message'])}", width="stretch")


def _link_to_row(version: Version, line: int, *, key: str) -> None:
    """A button, since a link to the page that is open would leave its tab as it is."""
    st.button(
        f"Row {line:,}",
        key=key,
        icon=":material/table_rows:",
        on_click=quality_view.go_to_rows,
        args=(version,),
        kwargs={"row": line},
    )


def _advice(view: TrainingView) -> str:
    more = f"The first {len(view.errors)} are listed. " if len(view.errors) >= 100 else ""
    return (
        f"{more}Mend them in the Versions tab, or leave them out with SQL and save the result as a new "
        f"version."
    )


def _show_examples(user: User, version: Version, columns: Columns | None) -> None:
    pages = -(-version.num_rows // PER_PAGE)
    at = min(lists.current_page("training_page"), pages)
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        st.subheader("As the model reads them", anchor=False, width="content")
        if pages > 1:
            st.pagination(pages, key="training_page", bind="query-params")
    rows = datasets.training_preview(user, version.id, columns, PER_PAGE, offset=(at - 1) * PER_PAGE)
    for line, example in rows:
        with st.container(border=True, key=f"example_{line}"):
            _link_to_row(version, line, key=f"example_row_{line}")
            show_example(example)


def show_example(example: Example | list[Any]) -> None:
    """One row as a conversation, as text, or as what is wrong with it."""
    if isinstance(example, ChatExample):
        _show_messages(example.messages)
    elif isinstance(example, PreferenceExample):
        _show_messages(example.messages)
        better, worse = st.columns(2)
        with better:
            st.caption(":green[:material/thumb_up:] Preferred")
            _show_messages(example.preferred)
        with worse:
            st.caption(":material/thumb_down: Not preferred")
            _show_messages(example.non_preferred)
    elif isinstance(example, list):
        for detail in example:
            st.error(f"{show.code(detail.field)} {show.plain(detail.message)}", icon=":material/rule:")
    else:
        st.code(_shortened(example.text), language=None, wrap_lines=True)


def _show_messages(messages: list[dict[str, Any]]) -> None:
    for message in messages:
        conversation.show_message(message["role"], _shortened(message["content"]))


def _shortened(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[:LONGEST]} … ({len(text):,} characters in all)"
