"""``python -m core.launch``: what ``./start.sh`` runs once everything is installed.

Reads the settings, makes sure that data folder and database belong together, migrates the database, says
where Luthier is to be found, and becomes ``streamlit run app.py``.
"""

import socket
import sys

from pydantic import ValidationError

from core.config import ROOT, Settings, settings
from core.processes import starting
from core.security import make_private
from core.storage import pairing


def main() -> None:
    chosen = _read_settings()
    _require_free_port(chosen.host, chosen.port)
    _open_database()
    host = "127.0.0.1" if chosen.host in ("0.0.0.0", "::", "localhost") else chosen.host
    print(f"Luthier is starting at http://{host}:{chosen.port}  (Ctrl+C stops it)", flush=True)
    _run_streamlit(chosen)


def _read_settings() -> Settings:
    try:
        return settings()
    except ValidationError as error:
        for problem in error.errors():
            name = "LUTHIER_" + "_".join(str(part) for part in problem["loc"]).upper()
            print(f"{name} is not right: {problem['msg'].removeprefix('Value error, ')}", file=sys.stderr)
        raise SystemExit(2) from None


def _open_database() -> None:
    try:
        pairing.check()  # before anything is written
        make_private()
        pairing.open_database()
    except Exception as error:  # what an admin can mend is a sentence; all else is raised again
        if (why := starting.why_not(error)) is None:
            raise
        print(why, file=sys.stderr)
        raise SystemExit(2) from None


def _require_free_port(host: str, port: int) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            reason = error.strerror or "it cannot be opened"
            print(
                (
                    f"Port {port} on {host} cannot be used ({reason}). Set LUTHIER_PORT to another one, "
                    f"or stop what uses it."
                ),
                file=sys.stderr,
            )
            raise SystemExit(2) from None


def _allowed_hosts(chosen: Settings) -> list[str]:
    """The names the page may be opened under:
    a guard against DNS rebinding where the server is local or its names are known."""
    named = [name.strip() for name in chosen.allowed_hosts.split(",") if name.strip()]
    if not named and chosen.host not in ("127.0.0.1", "localhost", "::1"):
        return ["*"]
    return list(dict.fromkeys(["localhost", "127.0.0.1", "[::1]", chosen.host, *named]))


def _run_streamlit(chosen: Settings) -> None:
    from streamlit.web import cli

    sys.argv = [
        "streamlit",
        "run",
        str(ROOT / "app.py"),
        "--server.address",
        chosen.host,
        "--server.port",
        str(chosen.port),
    ]
    for name in _allowed_hosts(chosen):
        sys.argv += ["--server.allowedHosts", name]
    cli.main()


if __name__ == "__main__":
    main()
