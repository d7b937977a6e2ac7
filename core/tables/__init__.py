"""The rows. Uniqueness, allowed states and references are named constraints here and nowhere else.

"Model" never means a row: a model is an AI model, and ``models`` is the table of them. Times are UTC. Ids are
opaque and prefixed.
"""

from core.tables.alert_kinds import ALERT_KINDS, AlertKind
from core.tables.base import BigId, Json, Row, Utc, WorkRow
from core.tables.chats import ChatRow, MessageRow
from core.tables.data import DatasetRow, DatasetVersionRow, UploadRow, VersionParentRow, VersionReportRow
from core.tables.models import AliasMoveRow, ModelAliasRow, ModelRow, ModelVersionRow
from core.tables.people import (
    ApiKeyRow,
    AttemptRow,
    InvitationRow,
    RevokedTokenRow,
    ServerSettingRow,
    SessionRow,
    TicketRow,
    UsageRow,
    UserRow,
)
from core.tables.training import (
    ACTIVE_STATUSES,
    ENDED_STATUSES,
    JOB_STATUSES,
    AlertRow,
    CheckpointRow,
    EvaluationRow,
    ExportRow,
    JobEventRow,
    JobGroupRow,
    JobRow,
    MetricPointRow,
    SampleRow,
    WebhookRow,
)

__all__ = [
    "ACTIVE_STATUSES",
    "ALERT_KINDS",
    "ENDED_STATUSES",
    "JOB_STATUSES",
    "AlertKind",
    "AlertRow",
    "AliasMoveRow",
    "ApiKeyRow",
    "AttemptRow",
    "BigId",
    "ChatRow",
    "CheckpointRow",
    "DatasetRow",
    "DatasetVersionRow",
    "EvaluationRow",
    "ExportRow",
    "InvitationRow",
    "JobEventRow",
    "JobGroupRow",
    "JobRow",
    "Json",
    "MessageRow",
    "MetricPointRow",
    "ModelAliasRow",
    "ModelRow",
    "ModelVersionRow",
    "RevokedTokenRow",
    "Row",
    "SampleRow",
    "ServerSettingRow",
    "SessionRow",
    "TicketRow",
    "UploadRow",
    "UsageRow",
    "UserRow",
    "Utc",
    "VersionParentRow",
    "VersionReportRow",
    "WebhookRow",
    "WorkRow",
]
