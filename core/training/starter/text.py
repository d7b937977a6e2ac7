"""The program that writes the starter's training text.

`conversations(seed)` is an endless stream that depends on nothing but the seed: the same seed writes the same
text on every machine. One conversation in five carries a system prompt, one in four has more than one turn.
`MIXTURE` says how often each task comes; a new task is a function in `tasks.py` and one line here.
"""

import random
import re
import sysconfig
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from core.training.starter import tasks, words
from core.training.starter.english import english
from core.training.starter.sql_questions import write_question
from core.training.starter.support import support_reply
from core.training.starter.words import Draw

Message = dict[str, str]


@dataclass(frozen=True)
class Conversation:
    """One training example: chat messages, and the task of its first question (for evaluation by task)."""

    task: str
    messages: list[Message]


# task: (share of the conversations, function that writes one question with its answer)
MIXTURE: dict[str, tuple[float, Callable[[Draw], tuple[str, str]]]] = {
    "sql": (0.18, write_question),
    "copying": (0.12, tasks.copying),
    "english": (0.08, english),
    "key_value": (0.07, tasks.key_value),
    "slot_filling": (0.06, tasks.slot_filling),
    "people_in_context": (0.10, tasks.people_in_context),
    "notes_in_context": (0.08, tasks.notes_in_context),
    "table_rows": (0.05, tasks.table_rows),
    "rewriting": (0.05, tasks.rewriting),
    "word_games": (0.03, tasks.word_games),
    "arithmetic": (0.03, tasks.arithmetic),
    "knowledge": (0.05, tasks.knowledge),
    "support": (0.09, support_reply),
    "small_talk": (0.03, tasks.small_talk),
}
_SHORT = (
    "copying",
    "key_value",
    "knowledge",
    "support",
    "small_talk",
    "arithmetic",
    "rewriting",
    "word_games",
)
_SYSTEM_PROMPTS = (
    "You are a helpful assistant.",
    "You are Luthier's starter model.",
    "Answer briefly.",
    "You are a friendly assistant. Answer in one or two sentences.",
    "Be polite and precise.",
    "You help the team with its data.",
    "Answer only what you know.",
    "You are the support assistant of {brand}.",
    "You are the support assistant of {brand}. Be short and friendly.",
    "You work for {brand} in {city}. Today is {day}.",
    "The user is called {name} and lives in {city}.",
)


def conversations(seed: int, held_out: bool = False) -> Iterator[Conversation]:
    """Endless conversations. With `held_out` they use only words kept out of training."""
    rng = random.Random(seed)
    while True:
        yield write(Draw(rng, held_out))


def write(draw: Draw, task: str | None = None) -> Conversation:
    """One conversation, of a task drawn from `MIXTURE` unless one is given."""
    shares = [share for share, _ in MIXTURE.values()]
    task = task or draw.rng.choices(list(MIXTURE), shares)[0]
    turns = [MIXTURE[task][1](draw)]
    if task in _SHORT and draw.chance(0.35):
        turns += [MIXTURE[draw.one(*_SHORT)][1](draw) for _ in range(draw.number(1, 3))]
    elif draw.chance(0.08):
        turns += [MIXTURE[draw.one(*MIXTURE)][1](draw) for _ in range(draw.number(1, 4))]
    if draw.chance(0.04):
        turns += _recall(draw)
    messages = _system(draw, task, turns) if draw.chance(0.2) else []
    for question, answer in turns:
        messages += [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
    return Conversation(task, messages)


def single_turn(draw: Draw, task: str) -> tuple[str, str]:
    """One question of `task` with its answer, no system prompt: what the evaluation asks."""
    return MIXTURE[task][1](draw)


def _recall(draw: Draw) -> list[tuple[str, str]]:
    """Two turns in which the second asks about the first."""
    name, city = draw.made_up().capitalize(), draw.word(words.CITIES)
    return [
        (f"My name is {name} and I live in {city}.", f"Nice to meet you, {name}! How can I help you today?"),
        draw.one(("What is my name?", f"Your name is {name}."), ("Where do I live?", f"You live in {city}.")),
    ]


def _system(draw: Draw, task: str, turns: list[tuple[str, str]]) -> list[Message]:
    """A system message; it may hold the context of the first question,
    or a fact that a further question asks for."""
    question, answer = turns[0]
    if task.endswith("_in_context") and draw.chance(0.5):
        context, _, turns_question = question.rpartition("\nQuestion: ")
        turns[0] = (turns_question, answer)
        return [{"role": "system", "content": context}]
    brand, city, name = draw.made_up().capitalize(), draw.word(words.CITIES), draw.word(words.NAMES)
    prompt = draw.one(*_SYSTEM_PROMPTS)
    content = prompt.format(brand=brand, city=city, name=name, day=draw.one(*words.WEEKDAYS))
    if "{brand}" in prompt and draw.chance(0.5):
        turns.append(
            (draw.one("Who do you work for?", "Which company is this?"), f"I answer questions for {brand}.")
        )
    if "{name}" in prompt and draw.chance(0.5):
        turns.append((draw.one("What is my name?", "Do you know my name?"), f"Your name is {name}."))
    return [{"role": "system", "content": content}]


def standard_library_text(limit: int) -> list[str]:
    """Docstrings of the Python that runs this:
    ordinary English and code-like text, for the tokenizer only."""
    texts: list[str] = []
    for path in sorted(Path(sysconfig.get_paths()["stdlib"]).glob("*.py")):
        texts += re.findall(r'"""(.*?)"""', path.read_text(errors="ignore"), re.DOTALL)
        if sum(map(len, texts)) > limit:
            break
    return texts
