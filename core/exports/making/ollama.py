"""A chat template in Ollama's words. Ollama does not run the template in a GGUF file, it wants one in Go's
language; a conversation rendered with Go's placeholders in the place of its texts is just that."""

from typing import Any

from core.inference.loaded import ChatTokenizer

SYSTEM, PROMPT, RESPONSE = "{{ .System }}", "{{ .Prompt }}", "{{ .Response }}"
TALK = [{"role": "user", "content": PROMPT}, {"role": "assistant", "content": RESPONSE}]


def form_of(chat_tokenizer: ChatTokenizer) -> dict[str, Any]:
    """``template`` (None where the model's cannot be said like
    that) and ``stops``, the texts that end an answer."""
    tokenizer = chat_tokenizer.tokenizer
    stops = [tokenizer.decode([token]) for token in sorted(chat_tokenizer.end_tokens)] + chat_tokenizer.stops
    return {"template": _template(tokenizer), "stops": stops}


def _template(tokenizer: Any) -> str | None:
    talk = _render(tokenizer, TALK)
    if talk is None or PROMPT not in talk or RESPONSE not in talk:
        return None
    with_system = _render(tokenizer, [{"role": "system", "content": SYSTEM}, *TALK])
    if with_system is None or SYSTEM not in with_system:
        return talk
    if with_system.endswith(talk):
        return f"{{{{ if .System }}}}{with_system.removesuffix(talk)}{{{{ end }}}}{talk}"
    return f"{{{{ if .System }}}}{with_system}{{{{ else }}}}{talk}{{{{ end }}}}"


def _render(tokenizer: Any, messages: list[dict[str, str]]) -> str | None:
    from jinja2 import TemplateError

    try:
        return str(tokenizer.apply_chat_template(messages, tokenize=False))
    except TemplateError:  # many templates refuse a system message
        return None
