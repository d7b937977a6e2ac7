"""Exports: model versions in forms that run elsewhere,
each made, checked and kept until somebody takes it away.

- ``asking``: list what is possible, ask for one, look, download, delete; this package hands its functions on
- ``sizes``, ``llama_like``: what an export will weigh, and which models can become GGUF without llama.cpp
- ``work``: what a row says where making its export fails
- ``queue``: the thread of the server that starts the processes, one at a time, and finds those that died
- ``worker``: the process: claims the row, makes and checks the export, publishes its folder, settles the row
  last
- ``making``: how each form is made; runs only in that process

Models are the business of ``core.models``; ``core.api`` and ``core.ui`` come here. A child imports this file,
so it brings the asking side only, and no torch.
"""

from core.exports.asking import (
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

__all__ = [
    "KINDS",
    "Export",
    "ExportFile",
    "ExportList",
    "Kind",
    "NewExport",
    "Offer",
    "Precision",
    "delete_export",
    "get_export",
    "list_exports",
    "list_offers",
    "open_export",
    "request_export",
]
