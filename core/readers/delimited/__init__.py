"""CSV, TSV and other delimited text.

``dialects`` says how it is cut into records, ``headers`` whether the first of them names the columns,
``records`` cuts it slowly and names each bad line, ``reading`` lets DuckDB do it fast. Which types the
columns get is ``core.readers.text_types``'s.
"""

from core.readers.delimited.reading import read

__all__ = ["read"]
