"""A push to a Hugging Face hub.

The token is an argument, never a setting: it is not written anywhere and not in any message.
"""

from pathlib import Path
from typing import Any

from core.exports.making.order import CannotExport

UNREACHABLE = (
    "The hub cannot be reached from this server. Export the version merged, download it, "
    "and push it from a machine with internet."
)
REFUSED = (
    "The hub refused the token. Make one with write permission for this repository in the hub's settings, "
    "and push again."
)


def push(folder: Path, repository: str, *, token: str, private: bool) -> str:
    """Upload everything in ``folder``; returns the address of the repository. Raises CannotExport."""
    import httpx2  # what huggingface_hub speaks HTTP with
    from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled

    api = _connect(token)
    try:
        url = api.create_repo(repository, private=private, exist_ok=True, repo_type="model")
        api.upload_folder(
            folder_path=folder, repo_id=repository, repo_type="model", commit_message="Exported by Luthier"
        )
    except OfflineModeIsEnabled as error:
        raise CannotExport(UNREACHABLE) from error
    except HfHubHTTPError as error:
        raise CannotExport(_sentence(error, repository)) from None  # the request in it holds the token
    except (httpx2.HTTPError, OSError):
        raise CannotExport(UNREACHABLE) from None
    return str(url)


def _connect(token: str) -> Any:
    from huggingface_hub import HfApi

    return HfApi(token=token, library_name="luthier")


def _sentence(error: Any, repository: str) -> str:
    status = getattr(getattr(error, "response", None), "status_code", None)
    if status in (401, 403):
        return REFUSED
    if status == 404:
        return f"The hub does not know the organisation or user of {repository}, or the token may not see it."
    return f"The hub did not take the files (status {status}). Try again later."
