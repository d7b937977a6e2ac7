"""The processes that evaluate, from the outside: two at a time, oldest request first."""

from collections.abc import Mapping

from core.config import sibling_environment
from core.models import evaluations
from core.processes.children import Program
from core.processes.claimed import Work
from core.processes.tended import TendedQueue
from core.tables import EvaluationRow

EVALUATOR = "core.fine_tuning.checkpoints.evaluator"


class EvaluationQueue(TendedQueue[EvaluationRow]):
    name, log_name, slots = "evaluations", "evaluation", 2
    program = Program(EVALUATOR, f"{EVALUATOR}:main")

    @property
    def work(self) -> Work[EvaluationRow]:
        return evaluations.WORK

    def environment(self, row: EvaluationRow) -> Mapping[str, str]:
        return sibling_environment(HF_HUB_OFFLINE="1")


QUEUE = EvaluationQueue()
