"""The README that travels with an export: what it is,
what it was made of, how to load it, what was checked."""

import json
from typing import Any

from core.exports.making.order import Order

Json = dict[str, Any]


def write_card(order: Order, checks: list[Json], *, precision: str, checked_by: str) -> str:
    same = sum(1 for check in checks if check["same"])
    facts = {
        "version": f"{order.version} of {order.model_name}",
        "base": order.base_name,
        "weights": f"{'adapter (LoRA)' if order.kind == 'adapter' else 'whole model'}, {precision}",
        "training data": order.data,
        "training loss": _number(order.metrics.get("train_loss")),
        "validation loss": _number(order.metrics.get("valid_loss")),
        "chat template (SHA-256)": order.weights.chat_template_sha256,
        "checked": (
            f"{same} of {len(checks)} greedy answers are the same as the registry's, "
            f"loaded again by {checked_by}"
        ),
    }
    rows = "\n".join(f"| {name} | {_cell(value)} |" for name, value in facts.items() if value)
    about = f"{order.description}\n\n" if order.description else ""
    return f"""---
{_front_matter(order)}
---

# {order.model_name}

{about}| | |
|---|---|
{rows}

## Use

{_usage(order)}
{_training(order)}
Exported by Luthier. Ask it in its chat template, which is part of the files: another form gets other answers.
"""


def _front_matter(order: Order) -> str:
    entries: dict[str, Any] = {
        "library_name": "peft" if order.kind == "adapter" else "transformers",
        "pipeline_tag": "text-generation",
        "base_model": order.base_source,
        "tags": ["luthier", *(["lora"] if order.kind == "adapter" else [])],
    }
    # JSON is YAML
    return "\n".join(f"{name}: {json.dumps(value)}" for name, value in entries.items() if value)


def _usage(order: Order) -> str:
    loading = 'model = AutoModelForCausalLM.from_pretrained("this-folder")'
    imports = "from transformers import AutoModelForCausalLM, AutoTokenizer"
    before = ""
    if order.kind == "adapter":
        base = order.base_source or "base-folder"
        imports = f"from peft import PeftModel\n{imports}"
        loading = (
            f'base = AutoModelForCausalLM.from_pretrained("{base}")\n'
            f'model = PeftModel.from_pretrained(base, "this-folder")'
        )
        if not order.base_source:
            before = (
                f"The adapter needs its base, {order.base_name}: export that merged, into `base-folder`.\n\n"
            )
    return f"""{before}```python
{imports}

tokenizer = AutoTokenizer.from_pretrained("this-folder")
{loading}
messages = [{{"role": "user", "content": "Hello!"}}]
form = {{"add_generation_prompt": True, "return_dict": True, "return_tensors": "pt"}}
inputs = tokenizer.apply_chat_template(messages, **form)
mask = inputs["attention_mask"]
answer = model.generate(input_ids=inputs["input_ids"], attention_mask=mask, max_new_tokens=200)
print(tokenizer.decode(answer[0, inputs["input_ids"].shape[1]:], skip_special_tokens=True))
```"""


def _training(order: Order) -> str:
    """What the version's own card says of data, settings and environment, without its head."""
    own = order.weights.folder / "README.md"
    if order.job_id is None or not own.is_file():
        return ""
    text = own.read_text(encoding="utf-8")
    _, _, sections = text.partition("\n## ")
    return f"\n## {sections.strip()}\n" if sections else ""


def _number(value: Any) -> str | None:
    return f"{value:.4f}" if isinstance(value, (int, float)) else None


def _cell(value: str) -> str:
    return str(value).replace("|", "\\|").replace("\n", " ")
