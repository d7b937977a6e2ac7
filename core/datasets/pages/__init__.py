"""Rows of a version: a page of them, or all of them as a file.

- ``filters``: which rows are meant; nothing a user wrote becomes SQL
- ``paging``: one page, in an order, in milliseconds; this package hands its functions on
- ``files``: all rows of a view as CSV, JSON Lines or Parquet

A *view* (``core.datasets.views``) says what of a version is shown; here it becomes SQL over its Parquet.
"""

from core.datasets.pages.filters import Filter, as_filter
from core.datasets.pages.paging import (
    MAX_LIMIT,
    THREADS,
    Preview,
    Selection,
    connect,
    conversions_named,
    count,
    forget_counts,
    page,
    select,
)

__all__ = [
    "MAX_LIMIT",
    "THREADS",
    "Filter",
    "Preview",
    "Selection",
    "as_filter",
    "connect",
    "conversions_named",
    "count",
    "forget_counts",
    "page",
    "select",
]
