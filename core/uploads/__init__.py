"""Files on their way in: sent in pieces, pasted, fetched or taken
from a folder; then looked at, decided upon and imported.

An upload belongs to one user and does not exist for others. Its bytes lie in a file of their own and survive
a restart of the server; a broken transfer goes on where it stopped. Nothing becomes a dataset before somebody
says so.

- ``values``: what these functions take and hand out
- ``receiving``: begin, append; ``waiting``: list, look, choose, cancel; ``importing``: commit
- ``sources``: text, addresses, folders of the server; ``fetching``: files from addresses; ``upkeep``: after a
  restart, and after two days
- ``rows``: the metadata behind all of it

What the network is like is the edges' business and ``core.network``'s; how files are read, ``core.ingest``'s.
"""

from core.uploads.importing import commit, commit_dataset, commit_version
from core.uploads.receiving import Receiver, append, begin, open_chunk
from core.uploads.sources import folders, from_folder, from_text, from_url, list_folder, url_allowed
from core.uploads.upkeep import recover, sweep
from core.uploads.values import Chosen, Entry, NewUpload, Upload
from core.uploads.waiting import cancel, choose, chosen, duplicate, get, list_page, list_uploads, look

__all__ = [
    "Chosen",
    "Entry",
    "NewUpload",
    "Receiver",
    "Upload",
    "append",
    "begin",
    "cancel",
    "choose",
    "chosen",
    "commit",
    "commit_dataset",
    "commit_version",
    "duplicate",
    "folders",
    "from_folder",
    "from_text",
    "from_url",
    "get",
    "list_folder",
    "list_page",
    "list_uploads",
    "look",
    "open_chunk",
    "recover",
    "sweep",
    "url_allowed",
]
