"""The one process: what surrounds the pages, ``/api`` and ``/v1``.

``front_door`` sees every request first (id, log, headers, who the client is, the gate before Streamlit's own
files), ``addresses`` says which there are, ``page_policy`` what a browser may do with an answer,
``request_body`` what becomes of a body that nobody reads, ``lifespan`` starts and stops everything else,
``logs`` says how a log line looks.
"""

from core.server.front_door import FrontDoor
from core.server.lifespan import lifespan

__all__ = ["FrontDoor", "lifespan"]
