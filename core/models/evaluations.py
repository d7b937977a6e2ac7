"""Where the evaluation of a checkpoint or a model version stands.

One that waits, runs or failed has a row of its own; one that is done is a metric among the others, as
``evaluation``, and has no row any more. Asked for and computed by ``core.fine_tuning.checkpoints``.
"""

from typing import Any

from sqlalchemy.orm import Session

from core.errors import LuthierError
from core.processes.claimed import Work
from core.tables import CheckpointRow, EvaluationRow, ModelVersionRow

Measured = CheckpointRow | ModelVersionRow
CRASHED = LuthierError(
    "The evaluation was stopped before its end. Start it again; if it happens twice, "
    "the model is too large for this server's memory."
)
WORK = Work("evaluation", EvaluationRow, crashed=CRASHED, unforeseen=CRASHED)


def metrics_of(session: Session, row: Measured) -> dict[str, Any]:
    """Metrics as others see them, with the evaluation that was asked for last.

    While that waits ``ahead`` says how many are measured before it.
    """
    evaluation = row.evaluation
    if evaluation is None:
        return row.metrics
    report = tell(evaluation) | {"status": evaluation.status, "progress": evaluation.progress}
    if evaluation.error:
        report["error"] = evaluation.error
    if (ahead := WORK.count_ahead(session, evaluation)) is not None:
        report["ahead"] = ahead
    return {**row.metrics, "evaluation": report}


def tell(row: EvaluationRow) -> dict[str, Any]:
    """What was asked for: method, dataset and version, which rows of it, since when."""
    request = {name: value for name, value in row.asked.items() if name != "columns"}
    return request | {"asked_at": row.created_at.isoformat()}
