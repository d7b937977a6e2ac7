"""The command line: what the pages do, for shells and scripts on the server's machine.

It opens the same data folder and the same database as the server and asks the same services, as an account
that ``--user`` or ``LUTHIER_USER`` names. No password is asked: whoever may read the data folder may read
everything in it anyway. Options of settings are made from the pydantic models, so a new setting is an option
with its help at once.

- ``options``: options from models, and values from options
- ``output``: tables in 80 columns, JSON
- ``following``: a job watched until its end, or run here
- one file per group of commands: ``fine_tune``, ``jobs``, ``registry``, ``server``
"""

import argparse
import sys
from collections.abc import Sequence

from sqlalchemy.exc import SQLAlchemyError

from core import db
from core.cli import fine_tune, jobs, registry, server
from core.cli.options import Help
from core.cli.output import say_error
from core.cli.who import find_user
from core.errors import LuthierError
from core.processes import starting

GROUPS = (fine_tune, jobs, registry, server)
REFUSED, INTERRUPTED = 2, 130


def main(argv: Sequence[str]) -> int:
    """Run one command.

    Returns the exit status: 0 done, 1 a job that did not succeed, 2 refused, 130 interrupted.
    """
    chosen = build_parser().parse_args(argv)
    try:
        user = None
        if chosen.needs_user:
            db.require_usable()
            user = find_user(chosen.user)
        return int(chosen.act(user, chosen) or 0)
    except LuthierError as error:
        say_error(error)
        return REFUSED
    except SQLAlchemyError as error:
        if (why := starting.why_not(error)) is None:
            raise
        print(why, file=sys.stderr)
        return REFUSED
    except KeyboardInterrupt:
        print(file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:  # the reader, such as head, has seen enough
        sys.stderr.close()
        return 0


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "python -m core", description="Luthier from the command line.", formatter_class=Help
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for group in GROUPS:
        group.add_commands(commands)
    return parser


def commands() -> dict[str, argparse.ArgumentParser]:
    """Every command with its parser, in the order of the help: what the guide shows."""
    actions = [action for action in build_parser()._actions if isinstance(action, argparse._SubParsersAction)]
    return dict(actions[0].choices)
