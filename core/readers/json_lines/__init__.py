"""JSON: objects one per line, an array of them, or one after the other.

``reading`` lets DuckDB read and decides when the slow way is taken; ``types`` says which type each column
has, so that what was written comes back; ``rows`` is one row and what is wrong with it, ``documents`` the
rows of a document without holding it, ``wrapped`` a document that is one object but means a table; ``casts``
makes a JSON value one of a structure that a dataset has already.
"""

from core.readers.json_lines.reading import read

__all__ = ["read"]
