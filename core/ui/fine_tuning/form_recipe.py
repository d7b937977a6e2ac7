"""A fine-tuning's settings as a file: loaded into the form, downloaded from a job."""

import streamlit as st

from core.errors import LuthierError, ValidationError
from core.fine_tuning import Job, recipes
from core.ui import show
from core.ui.fine_tuning.form import FILE, FILLED

LOADED = "fine_tuning_loaded"  # the file that was read last


def show_loading() -> None:
    """A popover that takes a file and fills the form with it."""
    with st.popover("Load settings", icon=":material/upload_file:", key="ft_load"):
        file = st.file_uploader("A YAML file of an earlier form or job", type=["yaml", "yml"], key="ft_file")
        if file is None or file.file_id == st.session_state.get(LOADED):
            return
        try:
            new = recipes.from_yaml(file.getvalue().decode("utf-8"))
        except UnicodeDecodeError:
            show.error(ValidationError.of("file", "is not a text in UTF-8"))
            return
        except LuthierError as error:
            show.error(error)
            return
        st.session_state[LOADED] = file.file_id
        load(new)
        st.rerun()


def load(new: recipes.NewJob) -> None:
    """Fill the form: what was chosen in it before is forgotten."""
    for key in [str(key) for key in st.session_state if str(key).startswith("ft_") and key != "ft_file"]:
        del st.session_state[key]
    for name in ("dataset", "version", "columns", "job", "base"):
        st.query_params.pop(name, None)
    st.query_params["new"] = "1"
    st.session_state[FILE] = new
    st.session_state.pop(FILLED, None)
    show.flash("The settings are loaded.")


def show_download(job: Job) -> None:
    """The settings of a job, its seed included. Nothing where its base or data is gone."""
    try:
        text = recipes.to_yaml(recipes.of_job(job))
    except ValidationError:
        return
    st.download_button(
        "Settings",
        text,
        file_name=f"{show.slug(job.name) or job.id}.yaml",
        mime="application/yaml",
        key="job_yaml",
        icon=":material/download:",
        on_click="ignore",
        help="The settings of this job as YAML: load them in the form, or start them from the command line.",
    )
