"""The registry of AI models: names people call, versions under them, and aliases that point at versions.

Base models belong to nobody and are read-only for everyone; fine-tuned and custom ones belong to one user and do not exist for
others. A custom model is a base (or a fine-tuned model) with its own system prompt and parameters: it has no weights and
follows the versions of the model below it. Whoever wants an answer asks ``resolve`` for what a name means and ``location`` for
where the weights lie; generating is the providers' business, training the jobs'.

- ``values``: what services hand out
- ``registry``: list, get, create, change, delete, aliases
- ``calling``: names to versions, versions to folders
- ``checkpoint_calls``: checkpoints of jobs as something to call
- ``publishing``: how weights get in: a finished job, the starter, a base added by an admin
- ``exports``: how weights get out: adapters, merged folders, GGUF, pushes; ``export_queue`` starts the processes that make them
- ``card``: what stands in the README.md of a fine-tuned model
"""

from core.models.calling import Callable, location, resolve
from core.models.checkpoint_calls import is_reference, reference, whole_base
from core.models.export_queue import recover as recover_exports
from core.models.export_queue import shut_down as shut_down_exports
from core.models.exports import (
    KINDS,
    Export,
    ExportFile,
    ExportList,
    Kind,
    NewExport,
    Offer,
    Precision,
    delete_export,
    get_export,
    list_exports,
    list_offers,
    open_export,
    request_export,
)
from core.models.publishing import STARTER, NewBase, Publication, Published, add_base, ensure_starter, publish, recover
from core.models.registry import (
    ModelChange,
    ModelList,
    NewAlias,
    NewModel,
    Parameters,
    VersionList,
    create_custom,
    delete,
    drop_alias,
    get,
    list_models,
    list_versions,
    set_alias,
    update,
)
from core.models.values import Model, ModelVersion

__all__ = [
    "KINDS",
    "STARTER",
    "Callable",
    "Export",
    "ExportFile",
    "ExportList",
    "Kind",
    "Model",
    "ModelChange",
    "ModelList",
    "ModelVersion",
    "NewAlias",
    "NewBase",
    "NewExport",
    "NewModel",
    "Offer",
    "Parameters",
    "Precision",
    "Publication",
    "Published",
    "VersionList",
    "add_base",
    "create_custom",
    "delete",
    "delete_export",
    "drop_alias",
    "ensure_starter",
    "get",
    "get_export",
    "is_reference",
    "list_exports",
    "list_models",
    "list_offers",
    "list_versions",
    "location",
    "open_export",
    "publish",
    "recover",
    "recover_exports",
    "reference",
    "request_export",
    "resolve",
    "set_alias",
    "shut_down_exports",
    "update",
    "whole_base",
]
