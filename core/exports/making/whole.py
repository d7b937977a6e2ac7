"""One export from beginning to end: reference answers, files,
the same questions to what was written, and one file to take away.

Nothing leaves this function unchecked. Whole weights and F16 must answer all prompts to the letter; Q8_0 may
differ in a few, and says in how many, but not below ``Q8_BAR``.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core import storage
from core.exports.llama_like import NotMapped, lost_window, mapping_of, read_tokenizer
from core.exports.making import answers, card, hub, llama_cpp, ollama, packing, prompts
from core.exports.making.folders import write_adapter, write_merged
from core.exports.making.gguf_file import write_gguf
from core.exports.making.gguf_vocabulary import template_of
from core.exports.making.order import CannotExport, ExportProgress, Order
from core.exports.sizes import estimate
from core.weights import template_sha256

Json = dict[str, Any]
Q8_BAR = 8  # of ten answers that must be the same
WRITE, CHECK, PACK = 0.3, 0.6, 0.9  # where the stages begin on the bar
OWN_READER = "transformers"
OTHER_TEMPLATE = (
    "The chat template in this version's files is not the one that was stored with it, "
    "so an export would be asked in another form than it was trained with. Restore the file from a backup, "
    "or train the model again."
)


@dataclass(frozen=True)
class Made:
    size_bytes: int
    checks: list[Json]


def make(order: Order, progress: ExportProgress, draft: Path, *, token: str = "") -> Made:
    """Leave in ``draft`` the one file of the export (for a push: the card). Raises CannotExport, DiskFull."""
    _require_template(order, order.tokenizer)
    size = estimate(order.weights, order.kind, order.precision)
    storage.require_space(size.peak_bytes)
    progress.stage(0.02, "Loading the version as the registry serves it")
    reference = answers.Reference(order.weights)
    questions = reference.choose(prompts.candidates(order.dataset_version_id, order.job_id))
    progress.stage(0.05, f"Asking it {len(questions)} questions")
    expected = reference.answers(questions, lambda share: _advance(progress, 0.05, WRITE, share))
    check = _Check(order, reference, questions, expected, progress)
    if order.kind.startswith("gguf"):
        return _make_gguf(order, check, progress, draft)
    return _make_folder(order, check, progress, draft, token=token)


class _Check:
    """The answers of an export beside the reference's."""

    def __init__(
        self,
        order: Order,
        reference: answers.Reference,
        asked: list[prompts.Messages],
        expected: list[str],
        progress: ExportProgress,
    ) -> None:
        self.order, self.reference, self.asked, self.expected, self.progress = (
            order,
            reference,
            asked,
            expected,
            progress,
        )

    def folder(self, folder: Path) -> list[Json]:
        self._begin(OWN_READER)
        adapter = folder if self.order.kind == "adapter" else None
        texts = answers.answers_of_folder(
            self.order.weights.base if adapter else folder,
            self.asked,
            self._tick,
            dtype=self.reference.dtype,
            adapter=adapter,
        )
        return self._judge(texts)

    def gguf(self, file: Path) -> list[Json]:
        by_llama_cpp = llama_cpp.can_answer()
        self._begin("llama.cpp" if by_llama_cpp else OWN_READER)
        chat_tokenizer = self.reference.chat_tokenizer
        if by_llama_cpp:
            rendered = self.reference.rendered(self.asked)
            return self._judge(
                llama_cpp.answers(file, rendered, self._tick, context=chat_tokenizer.context_length)
            )
        return self._judge(self._read_back(file, sorted(chat_tokenizer.end_tokens)))

    def _read_back(self, file: Path, ends: list[int]) -> list[str]:
        try:
            return answers.answers_of_gguf(
                file, self.order.tokenizer, self.asked, self._tick, dtype=self.reference.dtype, ends=ends
            )
        except (ValueError, NotImplementedError, KeyError, RuntimeError) as error:
            if "not enough memory" in str(error).lower():
                raise
            raise CannotExport(
                "The GGUF file was made, but nothing here can load it again to check it. "
                "Build llama-server in llama.cpp's folder."
            ) from error

    def _begin(self, by: str) -> None:
        self.progress.note(checked_by=by)
        self.progress.stage(CHECK, "Loading the export again and asking it the same")

    def _tick(self, share: float) -> None:
        _advance(self.progress, CHECK, PACK, share)

    def _judge(self, found: list[str]) -> list[Json]:
        """Raises CannotExport with the answers when too many differ."""
        stops = self.reference.chat_tokenizer.stops
        expected, texts = ([answers.cut_at(text, stops) for text in side] for side in (self.expected, found))
        checks = answers.compare(self.asked, expected, texts)
        same, needed = sum(1 for each in checks if each["same"]), len(checks)
        if self.order.kind == "gguf-q8_0":
            needed = -(-Q8_BAR * len(checks) // prompts.NUM_PROMPTS)
        if not checks or same < needed:
            raise CannotExport(_difference(self.order, same, len(checks)), checks=checks)
        return checks


def _make_folder(order: Order, check: _Check, progress: ExportProgress, draft: Path, *, token: str) -> Made:
    folder = draft / order.filename.removesuffix(".zip")
    progress.stage(WRITE, "Writing the adapter" if order.kind == "adapter" else "Writing the weights")
    if order.kind == "adapter":
        write_adapter(order, folder)
    else:
        write_merged(order, folder, ends=sorted(check.reference.chat_tokenizer.end_tokens))
    _require_template(order, folder)  # what goes out has the template that came in
    checks = check.folder(folder)
    text = card.write_card(order, checks, precision=order.precision, checked_by=OWN_READER)
    (folder / "README.md").write_text(text, encoding="utf-8")
    if order.kind == "hub":
        return _push(order, folder, draft, checks, progress, token=token)
    progress.stage(PACK, "Packing")
    archive = draft / order.filename
    packing.pack(folder, archive)
    return _finish(archive, checks, progress)


def _make_gguf(order: Order, check: _Check, progress: ExportProgress, draft: Path) -> Made:
    file, source = draft / order.filename, order.weights.base
    if problem := lost_window(source):
        raise CannotExport(problem)
    progress.stage(WRITE, "Writing the file")
    if order.is_adapter:
        source = draft / "merged"
        write_merged(order, source, ends=sorted(check.reference.chat_tokenizer.end_tokens))
    try:
        mapping_of(source, order.tokenizer)
        written_here = True
    except NotMapped as reason:
        if not llama_cpp.can_convert():
            raise CannotExport(str(reason)) from reason
        written_here = False
    if written_here:
        write_gguf(order, source, file, lambda share: _advance(progress, WRITE, CHECK, share))
        _require_vocabulary(order, file)
    else:
        llama_cpp.convert(source, file, order.kind)
    progress.note(written_by="Luthier" if written_here else "llama.cpp")
    if order.is_adapter:
        storage.remove(source)
    checks = check.gguf(file)
    progress.note(ollama=ollama.form_of(check.reference.chat_tokenizer))
    progress.stage(PACK, "Computing the checksum")
    return _finish(file, checks, progress)


def _push(
    order: Order, folder: Path, draft: Path, checks: list[Json], progress: ExportProgress, *, token: str
) -> Made:
    """The card stays here, the weights go to the hub."""
    size = storage.folder_bytes(folder)
    progress.stage(PACK, f"Pushing to {order.target}")
    progress.note(url=hub.push(folder, order.target, token=token, private=order.private))
    (folder / "README.md").rename(draft / "README.md")
    storage.remove(folder)
    return Made(size, checks)


def _finish(file: Path, checks: list[Json], progress: ExportProgress) -> Made:
    progress.note(sha256=packing.sha256(file))
    return Made(file.stat().st_size, checks)


def _require_template(order: Order, folder: Path) -> None:
    stored = order.weights.chat_template_sha256
    if stored is not None and template_sha256(folder) != stored:
        raise CannotExport(OTHER_TEMPLATE)


def _require_vocabulary(order: Order, file: Path) -> None:
    """transformers' reader is given our tokenizer,
    so what the file says of tokens and template is read back here."""
    import gguf

    fields = gguf.GGUFReader(file).fields
    tokens = fields["tokenizer.ggml.tokens"].contents()
    model = read_tokenizer(order.tokenizer)["model"]
    merges = [m if isinstance(m, str) else " ".join(m) for m in model["merges"]]
    written = fields["tokenizer.ggml.merges"].contents() if merges else []
    right = all(tokens[number] == token for token, number in model["vocab"].items()) and written == merges
    if not right or fields["tokenizer.chat_template"].contents() != template_of(order.tokenizer):
        raise CannotExport(
            "The tokenizer could not be read back from the GGUF file as it was. "
            "Tell the admin the id of this export."
        )


def _difference(order: Order, same: int, total: int) -> str:
    what = (
        f"Only {same} of {total} answers are the same as the registry's, so it is not offered. "
        f"See both answers below."
    )
    if order.kind == "gguf-q8_0":
        return f"{what} Eight bits are too few for this model: export it as F16."
    if order.kind == "gguf-f16":
        return f"{what} Sixteen bits are too few for this model: export it merged in float32."
    return (
        f"{what} Choose float32 as the precision."
        if order.precision != "float32"
        else f"{what} Tell an admin the id of this export."
    )


def _advance(progress: ExportProgress, start: float, end: float, share: float) -> None:
    progress.value = start + (end - start) * share
