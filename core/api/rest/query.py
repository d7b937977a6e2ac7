"""``/api/query``: SQL over the caller's datasets."""

from fastapi import APIRouter

from core import query
from core.api.deps import CurrentUser, SignedIn
from core.query import NewQuery, QueryResult

router = APIRouter(route_class=SignedIn, tags=["query"])


@router.post("/query")
def run_query(new: NewQuery, user: CurrentUser) -> QueryResult:
    """One SELECT. A dataset is a table by its name, an older version ``"name@2"``."""
    return query.run(user, new)
