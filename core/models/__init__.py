"""The registry of AI models: names people call, versions under them, and aliases that point at versions.

Base models belong to nobody and are read-only for everyone; fine-tuned and custom ones belong to one user and
do not exist for others. A custom model is a base (or a fine-tuned model) with its own system prompt and
parameters: it has no weights and follows the versions of the model below it. Whoever wants an answer asks
``resolve`` for what a name means; generating is the providers' business, training the jobs', and how weights
get out that of ``core.exports``. ``location`` says where weights lie, to those who load them. A model of type
external answers on another server and has no versions here.

- ``values``: what services hand out
- ``registry``: list, get, create, change, delete
- ``aliases``: names that point at a version, and the log of their moves
- ``calling``: names to versions, versions to folders
- ``checkpoint_calls``: checkpoints of jobs as something to call
- ``publishing``: how weights get in: a finished job, the starter, a base added by an admin
- ``origins``: what models were made from, for lists
- ``card``: what stands in the README.md of a fine-tuned model
"""

from core.models.aliases import (
    AliasMove,
    MoveList,
    NewAlias,
    drop_alias,
    list_all_moves,
    list_moves,
    set_alias,
)
from core.models.calling import Callable, location, resolve
from core.models.checkpoint_calls import is_reference, reference, whole_base
from core.models.origins import Origins, origins, versions_by_id
from core.models.publishing import (
    STARTER,
    NewBase,
    Publication,
    Published,
    add_base,
    ensure_starter,
    publish,
    recover,
)
from core.models.registry import (
    ModelChange,
    ModelList,
    NewModel,
    Parameters,
    VersionList,
    create_custom,
    delete,
    get,
    keep_template_findings,
    list_models,
    list_versions,
    require,
    template_findings,
    update,
)
from core.models.values import Model, ModelVersion

__all__ = [
    "STARTER",
    "AliasMove",
    "Callable",
    "Model",
    "ModelChange",
    "ModelList",
    "ModelVersion",
    "MoveList",
    "NewAlias",
    "NewBase",
    "NewModel",
    "Origins",
    "Parameters",
    "Publication",
    "Published",
    "VersionList",
    "add_base",
    "create_custom",
    "delete",
    "drop_alias",
    "ensure_starter",
    "get",
    "is_reference",
    "keep_template_findings",
    "list_all_moves",
    "list_models",
    "list_moves",
    "list_versions",
    "location",
    "origins",
    "publish",
    "recover",
    "reference",
    "require",
    "resolve",
    "set_alias",
    "template_findings",
    "update",
    "versions_by_id",
    "whole_base",
]
