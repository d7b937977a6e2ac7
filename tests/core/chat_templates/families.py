"""Tokenizers with chat templates of the kinds that model families use, over the starter's vocabulary.

The templates are written after those of the families: what is special about each is in them, tools and other
things that are not asked for here are not.
"""

from dataclasses import dataclass
from functools import cache
from typing import Any

from core.models.publishing import STARTER_WEIGHTS
from core.weights import PLAIN_TEMPLATE

CHATML = (
    "{%- for m in messages -%}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>\n' }}"
    "{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{ '<|im_start|>assistant\n' }}{%- endif -%}"
)
# says a system text of its own where the conversation has none
QWEN2 = (
    "{%- if messages[0]['role'] != 'system' -%}{{ '<|im_start|>system\nYou help.<|im_end|>\n' }}{%- endif -%}"
    + CHATML
)
# marks what the assistant says, without the token that ends it
CHATML_MARKED = (
    "{%- for m in messages -%}{{ '<|im_start|>' + m['role'] + '\n' }}{%- if m['role'] == 'assistant' -%}"
    "{% generation %}{{ m['content'] }}{% endgeneration %}{%- else -%}{{ m['content'] }}{%- endif -%}"
    "{{ '<|im_end|>\n' }}{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{ '<|im_start|>assistant\n' }}{%- endif -%}"
)
# the last answer thinks, earlier ones have forgotten it
QWEN3 = (
    "{%- set ns = namespace(last=-1) -%}{%- for m in messages -%}{%- if m['role'] == 'user' -%}"
    "{%- set ns.last = loop.index0 -%}{%- endif -%}{%- endfor -%}{%- for m in messages -%}"
    "{{ '<|im_start|>' + m['role'] + '\n' }}"
    "{%- if m['role'] == 'assistant' and loop.index0 > ns.last -%}{{ '<think>\n\n</think>\n\n' }}"
    "{%- endif -%}"
    "{{ m['content'] + '<|im_end|>\n' }}{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{ '<|im_start|>assistant\n' }}{%- endif -%}"
)
# asks for an answer with the beginning of its thinking, and never shows it again
THINKING = (
    "{%- for m in messages -%}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>' }}"
    "{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{ '<|im_start|>assistant\n<think>\n' }}{%- endif -%}"
)
LLAMA3 = (
    "{{ bos_token }}{%- for m in messages -%}{{ '<|start_header_id|>' + m['role'] + '<|end_header_id|>\n\n'"
    " + m['content'] | trim + '<|eot_id|>' }}{%- endfor -%}{%- if add_generation_prompt -%}"
    "{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{%- endif -%}"
)
GEMMA = (
    "{{ bos_token }}{%- if messages[0]['role'] == 'system' -%}"
    "{{ raise_exception('System role not supported') }}{%- endif -%}{%- for m in messages -%}"
    "{{ '<start_of_turn>' + ('model' if m['role'] == 'assistant' else 'user') + '\n'"
    " + m['content'] | trim + '<end_of_turn>\n' }}{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{ '<start_of_turn>model\n' }}{%- endif -%}"
)
MISTRAL = (
    "{{ bos_token }}{%- for m in messages -%}"
    "{%- if (m['role'] == 'user') != (loop.index0 % 2 == 0) -%}{{ raise_exception('Roles must alternate') }}"
    "{%- endif -%}{%- if m['role'] == 'user' -%}{{ '[INST] ' + m['content'] + ' [/INST]' }}"
    "{%- else -%}{{ ' ' + m['content'] + eos_token }}{%- endif -%}{%- endfor -%}"
)
# moves the system text into the last question
MISTRAL_SYSTEM = (
    "{%- set rest = messages[1:] if messages[0]['role'] == 'system' else messages -%}{{ bos_token }}"
    "{%- for m in rest -%}{%- if m['role'] == 'user' -%}{{ '[INST] ' }}"
    "{%- if messages[0]['role'] == 'system' and not rest[loop.index0 + 2:] -%}"
    "{{ messages[0]['content'] + '\n\n' }}{%- endif -%}"
    "{{ m['content'] + '[/INST]' }}{%- else -%}{{ ' ' + m['content'] + eos_token }}{%- endif -%}"
    "{%- endfor -%}"
)
# writes the system text into a question that has no answer yet, and nowhere else
MISTRAL_ASKED = (
    "{%- set rest = messages[1:] if messages[0]['role'] == 'system' else messages -%}{{ bos_token }}"
    "{%- for m in rest -%}{%- if m['role'] == 'user' -%}{{ '[INST] ' }}"
    "{%- if messages[0]['role'] == 'system' and loop.last -%}{{ messages[0]['content'] + '\n\n' }}"
    "{%- endif -%}{{ m['content'] + '[/INST]' }}{%- else -%}{{ ' ' + m['content'] + eos_token }}{%- endif -%}"
    "{%- endfor -%}"
)
PHI = (
    "{%- for m in messages -%}{{ '<|' + m['role'] + '|>\n' + m['content'] + '<|end|>\n' }}{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{ '<|assistant|>\n' }}{%- else -%}{{ eos_token }}{%- endif -%}"
)
# its prompt ends with a space, which joins the first word of the answer
VICUNA = (
    "{%- for m in messages -%}{%- if m['role'] == 'user' -%}{{ 'USER: ' + m['content'] + '\n' }}"
    "{%- elif m['role'] == 'assistant' -%}{{ 'ASSISTANT: ' + m['content'] + eos_token + '\n' }}"
    "{%- else -%}{{ m['content'] + '\n' }}{%- endif -%}{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{ 'ASSISTANT: ' }}{%- endif -%}"
)
# ends an answer with a line break
NO_END = (
    "{%- for m in messages -%}{{ m['role'] + ': ' + m['content'] + '\n' }}{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{ 'assistant:' }}{%- endif -%}"
)


@dataclass(frozen=True)
class Family:
    """``ends``: the token behind an answer. ``kinds``: what the check finds."""

    template: str
    special: tuple[str, ...]
    eos: str | None
    ends: str
    bos: str | None = None
    kinds: frozenset[str] = frozenset()
    takes_system: bool = True
    before: str = ""  # what the model has to write before the text of the answer
    after: str = ""  # and behind it, up to the end


_CHATML = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
_APART = frozenset({"answers_apart"})
FAMILIES = {
    "starter": Family("", (), "<|end|>", "<|end|>"),
    "chatml, another eos": Family(CHATML, _CHATML, "<|endoftext|>", "<|im_end|>"),
    "chatml, marks without the end": Family(CHATML_MARKED, _CHATML, "<|im_end|>", "<|im_end|>"),
    "qwen2": Family(QWEN2, _CHATML, "<|im_end|>", "<|im_end|>"),
    "qwen3": Family(
        QWEN3, _CHATML, "<|im_end|>", "<|im_end|>", kinds=_APART, before="<think>\n\n</think>\n\n"
    ),
    "thinking": Family(THINKING, _CHATML, "<|endoftext|>", "<|im_end|>", kinds=_APART),
    "llama3": Family(
        LLAMA3,
        ("<|begin_of_text|>", "<|eot_id|>", "<|start_header_id|>", "<|end_header_id|>"),
        "<|eot_id|>",
        "<|eot_id|>",
        bos="<|begin_of_text|>",
    ),
    "gemma": Family(
        GEMMA,
        ("<bos>", "<eos>", "<start_of_turn>", "<end_of_turn>"),
        "<eos>",
        "<end_of_turn>",
        bos="<bos>",
        kinds=frozenset({"refuses_system"}),
        takes_system=False,
    ),
    "mistral": Family(
        MISTRAL,
        ("<s>", "</s>"),
        "</s>",
        "</s>",
        bos="<s>",
        kinds=frozenset({"refuses_system"}),
        takes_system=False,
        before=" ",
    ),
    "mistral, system where it asks": Family(
        MISTRAL_ASKED, ("<s>", "</s>"), "</s>", "</s>", bos="<s>", kinds=_APART, before=" "
    ),
    "mistral, system moves": Family(
        MISTRAL_SYSTEM, ("<s>", "</s>"), "</s>", "</s>", bos="<s>", kinds=_APART, before=" "
    ),
    "phi": Family(PHI, ("<|endoftext|>", "<|end|>", "<|user|>", "<|assistant|>"), "<|endoftext|>", "<|end|>"),
    "vicuna": Family(VICUNA, ("<s>", "</s>"), "</s>", "</s>", bos="<s>"),
    "plain": Family(PLAIN_TEMPLATE, ("<|endoftext|>",), "<|endoftext|>", "<|endoftext|>"),
    "no end": Family(
        NO_END,
        ("</s>",),
        "</s>",
        "</s>",
        kinds=frozenset({"end_added", "answers_apart"}),
        before=" ",
        after="\n",
    ),
}


@cache
def tokenizer_of(name: str) -> Any:
    from transformers import AutoTokenizer, PreTrainedTokenizerFast

    family = FAMILIES[name]
    if not family.template:
        return AutoTokenizer.from_pretrained(STARTER_WEIGHTS)
    made = PreTrainedTokenizerFast(tokenizer_file=str(STARTER_WEIGHTS / "tokenizer.json"))
    made.add_special_tokens({"additional_special_tokens": list(family.special)})
    made.eos_token, made.bos_token = family.eos, family.bos
    made.chat_template = family.template
    return made


def spaced_tokenizer() -> Any:
    """As sentencepiece's: it puts a space before each text, and bytes stand in for unknown characters."""
    from tokenizers import Tokenizer, decoders, models, normalizers
    from transformers import PreTrainedTokenizerFast

    words = ["▁", "▁Lima", "▁is", "[", "]", "INST", "/", *"abcdefghijklmnopqrstuvwxyzLI<|>.?"]
    vocabulary = {
        token: n
        for n, token in enumerate(
            ["<unk>", "<s>", "</s>", *(f"<0x{code:02X}>" for code in range(256)), *dict.fromkeys(words)]
        )
    }
    merges = [("▁", "L"), ("▁L", "i"), ("▁Li", "m"), ("▁Lim", "a")]
    vocabulary |= {"".join(pair): len(vocabulary) + n for n, pair in enumerate(merges[:-1])}
    made = Tokenizer(models.BPE(vocab=vocabulary, merges=merges, unk_token="<unk>", byte_fallback=True))
    made.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    made.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    fast = PreTrainedTokenizerFast(
        tokenizer_object=made, bos_token="<s>", eos_token="</s>", unk_token="<unk>"
    )
    fast.chat_template = VICUNA
    return fast
