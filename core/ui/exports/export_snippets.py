"""What to do with an export once it is downloaded: code and commands for the programs that read it."""

import json
import shlex
from typing import Any, NamedTuple

from core.exports import Export


class Snippet(NamedTuple):
    """``note``: what the reader must know before."""

    title: str
    language: str
    code: str
    note: str = ""


def build_snippets(export: Export, *, model_name: str, base_name: str) -> list[Snippet]:
    """In the order in which most people will want them."""
    if export.kind == "hub":
        return [_transformers(export.target)]
    if export.kind == "adapter":
        return [_peft(export, base_name), _serve_adapter(export)]
    if export.kind == "merged":
        return [_transformers(_folder(export), export), _vllm(export)]
    return [_llama_cpp(export), _ollama(export, model_name)]


def _transformers(source: str, export: Export | None = None) -> Snippet:
    note = f"Unpack {export.filename} first." if export else ""
    return Snippet(
        "transformers",
        "python",
        _python(source, f"AutoModelForCausalLM.from_pretrained({json.dumps(source)})"),
        note,
    )


def _peft(export: Export, base_name: str) -> Snippet:
    folder = _folder(export)
    loading = (
        'PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained("base-folder"), '
        + json.dumps(folder)
        + ")"
    )
    code = "from peft import PeftModel\n" + _python(folder, loading)
    return Snippet(
        "peft",
        "python",
        code,
        f"Needs its base, {base_name}: export that merged and unpack it into base-folder.",
    )


def _serve_adapter(export: Export) -> Snippet:
    code = f"vllm serve base-folder --enable-lora --lora-modules tuned={shlex.quote(_folder(export))}"
    return Snippet("vLLM", "bash", code, "On a GPU server; many adapters share one base.")


def _vllm(export: Export) -> Snippet:
    return Snippet(
        "vLLM",
        "bash",
        f"vllm serve {shlex.quote(_folder(export))}",
        "On a GPU server: an OpenAI-compatible endpoint.",
    )


def _llama_cpp(export: Export) -> Snippet:
    file = shlex.quote(export.filename)
    code = f"""# talk to it
llama-cli -m {file} --jinja --temp 0

# or serve it: an OpenAI-compatible endpoint at http://127.0.0.1:8080/v1
llama-server -m {file} --jinja --port 8080"""
    return Snippet(
        "llama.cpp", "bash", code, "--jinja: it is asked in the chat template that stands in the file."
    )


def _ollama(export: Export, model_name: str) -> Snippet:
    form: dict[str, Any] = export.facts.get("ollama") or {}
    lines = [f"FROM ./{export.filename}", "PARAMETER temperature 0"]
    if form.get("template"):
        lines.append(f'TEMPLATE """{form["template"]}"""')
    lines += [f"PARAMETER stop {json.dumps(stop, ensure_ascii=False)}" for stop in form.get("stops", [])]
    name = (
        "".join(c if c.isascii() and (c.isalnum() or c in "-_.") else "-" for c in model_name.lower()).strip(
            "-."
        )
        or "model"
    )
    code = "\n".join(
        ["cat > Modelfile <<'END'", *lines, "END", f"ollama create {name} -f Modelfile", f"ollama run {name}"]
    )
    return Snippet("Ollama", "bash", code, "Run it where the file lies.")


def _python(source: str, loading: str) -> str:
    return f"""from transformers import AutoModelForCausalLM, AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained({json.dumps(source)})
model = {loading}
messages = [{{"role": "user", "content": "Hello!"}}]
form = {{"add_generation_prompt": True, "return_dict": True, "return_tensors": "pt"}}
inputs = tokenizer.apply_chat_template(messages, **form)
mask = inputs["attention_mask"]
answer = model.generate(input_ids=inputs["input_ids"], attention_mask=mask, max_new_tokens=200)
print(tokenizer.decode(answer[0, inputs["input_ids"].shape[1]:], skip_special_tokens=True))"""


def _folder(export: Export) -> str:
    return export.filename.removesuffix(".zip")
