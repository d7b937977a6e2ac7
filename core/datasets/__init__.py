"""Datasets: a named line of immutable versions, and everything a user does with them.

A dataset belongs to one user and does not exist for others. Each version is one Parquet in a folder of its
own, with the uploaded bytes beside it, its profile and its training report. How a file is read is
``core.ingest``'s business, what rows mean for training ``core.formats``'s, user SQL ``core.query``'s.

- ``values``: what these functions hand out
- ``making``: create, next version, change, delete; ``results``: keep what the server wrote itself;
  ``adding``: how every version begins
- ``looking``: lists, versions, rows, profiles, downloads; ``lessons``: what a version would teach
- ``views``: what of a version is shown, on a page or in a file; ``pages``: which rows that means, and reading
  them
- ``reports``: profile, quality and token lengths of a version, which ``core.reports`` computes
- ``diffs``: what is different between two versions
- ``editing``: cells and rows changed in place; ``splits``, ``leaks``: train, validation and test, and what
  they share
- ``lineage``: what was made from what; ``removing``, ``retention``: what goes, and what forbids it
- ``scratch``: a DuckDB for one heavy piece of work
- ``rows``: the metadata behind all of it; ``bundled``: the sample files
"""

from core.datasets.diffs import Diff, diff, diff_versions, guess_match, suggest_keys
from core.datasets.diffs.files import open_diff
from core.datasets.editing import Edits, edit
from core.datasets.leaks import Leak, LeakReport, leaks
from core.datasets.lineage import Lineage, lineage
from core.datasets.looking import (
    DatasetList,
    doubled,
    get,
    get_version,
    list_converting,
    list_datasets,
    list_versions,
    open_content,
    preview,
    sql_tables,
    version_of,
)
from core.datasets.making import (
    DatasetChange,
    NewDataset,
    add_sample,
    add_version,
    append_rows,
    cancel_ingest,
    create,
    delete,
    samples,
    update,
)
from core.datasets.pages import Filter, Preview
from core.datasets.removing import Use, delete_version, removed_tables, uses
from core.datasets.reports import (
    FindingRows,
    Quality,
    TokenLengths,
    finding,
    profile,
    quality,
    start_report,
    start_token_lengths,
    token_lengths,
)
from core.datasets.results import create_from_table
from core.datasets.retention import Retention, preview_retention, retention, set_retention, sweep_daily
from core.datasets.rows import require_readable
from core.datasets.splits import NewSplit, SplitCounts, count_split, split
from core.datasets.training_views import TrainingView, training_preview, training_report, view_for_training
from core.datasets.values import Content, Dataset, Profile, Sample, SqlTable, TrainingReport, Version
from core.datasets.views import View, open_view, rows_of, shares_of
from core.readers import IngestOptions

__all__ = [
    "Content",
    "Dataset",
    "DatasetChange",
    "DatasetList",
    "Diff",
    "Edits",
    "Filter",
    "FindingRows",
    "IngestOptions",
    "Leak",
    "LeakReport",
    "Lineage",
    "NewDataset",
    "NewSplit",
    "Preview",
    "Profile",
    "Quality",
    "Retention",
    "Sample",
    "SplitCounts",
    "SqlTable",
    "TokenLengths",
    "TrainingReport",
    "TrainingView",
    "Use",
    "Version",
    "View",
    "add_sample",
    "add_version",
    "append_rows",
    "cancel_ingest",
    "count_split",
    "create",
    "create_from_table",
    "delete",
    "delete_version",
    "diff",
    "diff_versions",
    "doubled",
    "edit",
    "finding",
    "get",
    "get_version",
    "guess_match",
    "leaks",
    "lineage",
    "list_converting",
    "list_datasets",
    "list_versions",
    "open_content",
    "open_diff",
    "open_view",
    "preview",
    "preview_retention",
    "profile",
    "quality",
    "removed_tables",
    "require_readable",
    "retention",
    "rows_of",
    "samples",
    "set_retention",
    "shares_of",
    "split",
    "sql_tables",
    "start_report",
    "start_token_lengths",
    "suggest_keys",
    "sweep_daily",
    "token_lengths",
    "training_preview",
    "training_report",
    "update",
    "uses",
    "version_of",
    "view_for_training",
]
