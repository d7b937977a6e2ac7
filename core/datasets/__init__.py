"""Datasets: a named line of immutable versions, and everything a user does with them.

A dataset belongs to one user and does not exist for others. Each version is one Parquet in a folder of its own, with the uploaded
bytes beside it, its profile and its training report. How a file is read is ``core.ingest``'s business, what rows mean for training
``core.formats``'s, user SQL ``core.query``'s.

- ``values``: what these functions hand out
- ``making``: create, next version, change, delete
- ``looking``: lists, versions, rows, profiles, downloads, training reports
- ``pages``: a page of rows by our own SQL; ``exports``: all rows as CSV or JSON Lines
- ``conversions``: the converter processes from the outside; ``recover`` at the start of a server
- ``rows``: the metadata behind all of it; ``bundled``: the sample files
"""

from core.datasets.conversions import recover
from core.datasets.looking import (
    DatasetList,
    get,
    get_version,
    list_datasets,
    list_versions,
    open_content,
    preview,
    profile,
    sql_tables,
    training_preview,
    training_report,
    version_of,
)
from core.datasets.making import (
    DatasetChange,
    NewDataset,
    add_sample,
    add_version,
    cancel_ingest,
    create,
    create_from_table,
    delete,
    samples,
    update,
)
from core.datasets.pages import Filter, Preview
from core.datasets.values import Content, Dataset, Profile, Sample, SqlTable, TrainingReport, Version
from core.readers import IngestOptions

__all__ = [
    "Content",
    "Dataset",
    "DatasetChange",
    "DatasetList",
    "Filter",
    "IngestOptions",
    "NewDataset",
    "Preview",
    "Profile",
    "Sample",
    "SqlTable",
    "TrainingReport",
    "Version",
    "add_sample",
    "add_version",
    "cancel_ingest",
    "create",
    "create_from_table",
    "delete",
    "get",
    "get_version",
    "list_datasets",
    "list_versions",
    "open_content",
    "preview",
    "profile",
    "recover",
    "samples",
    "sql_tables",
    "training_preview",
    "training_report",
    "update",
    "version_of",
]
