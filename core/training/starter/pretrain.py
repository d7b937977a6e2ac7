"""Trains the bundled starter model from nothing, on text written by `text.py`.

    python -m core.training.starter.pretrain --out runs/starter --minutes 75
    python -m core.training.starter.pretrain --out runs/starter --minutes 75 \\
        --export core/training/starter/weights

The run is resumable: called again with the same `--out` it goes on from the last checkpoint, with the same
data order. The learning rate is constant after a short warm-up and falls linearly to zero in the last part of
the run; progress is the larger of time over `--minutes` and tokens over `--tokens`, so a run ends when it was
planned to, however busy the machine is. `--export` writes the model in bfloat16 with its tokenizer; the card
in `weights/README.md` is kept by hand.
"""

import argparse
import json
import random
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from torch.nn import functional
from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from core import hardware
from core.training.starter.english import sentence
from core.training.starter.text import Conversation, conversations, standard_library_text
from core.training.starter.words import Draw

VOCABULARY = 4096
SPECIAL = ["<|pad|>", "<|bos|>", "<|end|>", "<|system|>", "<|user|>", "<|assistant|>"]
PAD, BOS, END, SYSTEM, USER, ASSISTANT = range(6)
ROLES = {"system": SYSTEM, "user": USER, "assistant": ASSISTANT}
# The generation tags make transformers return a mask over exactly what the assistant says, its end token
# included.
CHAT_TEMPLATE = (
    "{%- for message in messages -%}"
    "{%- if message['role'] == 'system' -%}<|system|>{{ message['content'] }}<|end|>"
    "{%- elif message['role'] == 'user' -%}<|user|>{{ message['content'] }}<|end|>"
    "{%- elif message['role'] == 'assistant' -%}"
    "<|assistant|>{% generation %}{{ message['content'] }}<|end|>{% endgeneration %}"
    "{%- endif -%}{%- endfor -%}"
    "{%- if add_generation_prompt -%}<|assistant|>{%- endif -%}"
)

WARM_UP_STEPS = 100
DECAY_SHARE = 0.35
MATRIX_RATE, VECTOR_RATE = 3e-3, 4e-3
TOKENS_PER_BATCH = 3000
CONVERSATIONS_PER_CHUNK = 240
# Loss weight of the text the model only reads; a little of it teaches English, too much costs answers.
READING_WEIGHT, READING_SAMPLE = 0.3, 0.15
# Sequences per chunk that copy random tokens, so that no token of the vocabulary stays untrained.
TOKEN_COPIES_PER_CHUNK = 24
# In this share of the conversations whose answer is found in the question, some tokens become random ones,
# the same in both: the model learns to look where the answer stands, not which words usually stand there.
SUBSTITUTION_SHARE = 0.4
FOUND_IN_QUESTION = frozenset(
    (
        "copying",
        "english",
        "key_value",
        "slot_filling",
        "people_in_context",
        "notes_in_context",
        "table_rows",
        "rewriting",
    )
)


@dataclass
class PretrainProgress:
    """Where a run stands; stored in its checkpoint."""

    step: int = 0
    tokens: int = 0
    seconds: float = 0.0
    chunk: int = 0


def train_tokenizer(seed: int) -> PreTrainedTokenizerFast:
    """Byte-level BPE with single digits, trained on our own text
    and on the docstrings of Python's standard library."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=SPECIAL,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    draw = Draw(random.Random(seed))
    # more than the mixture has, so that everyday words stay whole
    english = [sentence(draw) for _ in range(40_000)]
    own = [message["content"] for c in islice(conversations(seed), 6_000) for message in c.messages]
    tokenizer.train_from_iterator([*own, *english, *standard_library_text(3_000_000)], trainer)
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=SPECIAL[PAD],
        bos_token=SPECIAL[BOS],
        eos_token=SPECIAL[END],
        additional_special_tokens=SPECIAL[SYSTEM:],
        clean_up_tokenization_spaces=False,
        model_max_length=1024,
    )
    fast.chat_template = CHAT_TEMPLATE
    return fast


def build_model(seed: int) -> LlamaForCausalLM:
    """The untrained starter: 4.0 million parameters."""
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=256,
        intermediate_size=512,
        num_hidden_layers=5,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=1024,
        rms_norm_eps=1e-5,
        tie_word_embeddings=True,
        pad_token_id=PAD,
        bos_token_id=BOS,
        eos_token_id=END,
    )
    return LlamaForCausalLM(config)


def batches(
    tokenizer: Tokenizer, seed: int, progress: PretrainProgress
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Endless (ids, is_answer) batches [rows, length], right-padded;
    starts at `progress.chunk`, a whole number of chunks."""
    while True:
        chunk_seed = seed * 1_000_003 + progress.chunk
        rng, generator = random.Random(chunk_seed), torch.Generator().manual_seed(chunk_seed)
        written = islice(conversations(chunk_seed), CONVERSATIONS_PER_CHUNK)
        examples = [_with_random_tokens(rng, c, _encode(tokenizer, c)) for c in written]
        examples += [_copy_of_random_tokens(tokenizer, generator) for _ in range(TOKEN_COPIES_PER_CHUNK)]
        groups = _group_by_length(examples)
        for index in torch.randperm(len(groups), generator=generator).tolist():
            yield _pad(groups[index])
        progress.chunk += 1


def make_optimizers(model: LlamaForCausalLM) -> list[tuple[torch.optim.Optimizer, float]]:
    """Muon for the matrices inside the layers, AdamW for embeddings
    and norms, each with its own peak learning rate."""
    inside = {name for name, p in model.named_parameters() if p.ndim == 2 and "embed" not in name}
    matrices = [p for name, p in model.named_parameters() if name in inside]
    others = [p for name, p in model.named_parameters() if name not in inside]
    muon = torch.optim.Muon(
        matrices, lr=MATRIX_RATE, momentum=0.95, weight_decay=0.01, adjust_lr_fn="match_rms_adamw"
    )
    return [
        (muon, MATRIX_RATE),
        (torch.optim.AdamW(others, lr=VECTOR_RATE, betas=(0.9, 0.95), weight_decay=0.0), VECTOR_RATE),
    ]


def loss_of(
    model: LlamaForCausalLM, ids: torch.Tensor, is_answer: torch.Tensor
) -> tuple[torch.Tensor, float]:
    """(loss to minimise, mean loss of the answers).

    Logits are computed only where they count, to save time.
    """
    with torch.autocast("cpu", dtype=torch.bfloat16):
        hidden = model.model(input_ids=ids, use_cache=False).last_hidden_state[:, :-1].flatten(0, 1)
        targets, answers = ids[:, 1:].flatten(), is_answer[:, 1:].flatten()
        chosen = (answers | ((targets != PAD) & (torch.rand(targets.shape) < READING_SAMPLE))).nonzero()[:, 0]
        logits = functional.linear(hidden[chosen], model.lm_head.weight).float()
    losses = functional.cross_entropy(logits, targets[chosen], reduction="none")
    answers = answers[chosen].float()
    weights = answers + (1 - answers) * READING_WEIGHT
    answer_loss = float((losses.detach() * answers).sum() / answers.sum())
    return (losses * weights).sum() / weights.sum(), answer_loss


def train(out: Path, *, minutes: float, tokens: int, seed: int, save_seconds: float) -> None:
    """Train until `minutes` or `tokens` are used up, saving to `out/checkpoint.pt` on the way."""
    out.mkdir(parents=True, exist_ok=True)
    tokenizer = load_or_train_tokenizer(out, seed)
    model, progress = build_model(seed), PretrainProgress()
    optimizers = make_optimizers(model)
    _resume(out, model, optimizers, progress)
    started, last_save, average = time.monotonic() - progress.seconds, time.monotonic(), None
    model.train()
    for ids, is_answer in batches(tokenizer.backend_tokenizer, seed, progress):
        progress.seconds = time.monotonic() - started
        share = max(progress.seconds / (60 * minutes), progress.tokens / tokens)
        if share >= 1:
            break
        rate = min(1.0, (progress.step + 1) / WARM_UP_STEPS) * min(1.0, (1 - share) / DECAY_SHARE)
        loss, answer_loss = loss_of(model, ids, is_answer)
        _take_step(model, optimizers, loss, rate)
        progress.step += 1
        progress.tokens += int((ids != PAD).sum())
        average = answer_loss if average is None else 0.98 * average + 0.02 * answer_loss
        if progress.step % 50 == 0:
            _report(out, progress, share, rate, average)
        if time.monotonic() - last_save > save_seconds:
            save_checkpoint(out, model, optimizers, progress)
            last_save = time.monotonic()
    save_checkpoint(out, model, optimizers, progress)


def load_or_train_tokenizer(out: Path, seed: int) -> PreTrainedTokenizerFast:
    """The tokenizer of this run: trained once, then read from `out/tokenizer`."""
    folder = out / "tokenizer"
    if not folder.exists():
        train_tokenizer(seed).save_pretrained(folder)
    return PreTrainedTokenizerFast.from_pretrained(folder)


def save_checkpoint(
    out: Path,
    model: LlamaForCausalLM,
    optimizers: list[tuple[torch.optim.Optimizer, float]],
    progress: PretrainProgress,
) -> None:
    """Write `out/checkpoint.pt` under a temporary name,
    then rename: a killed run never leaves half a file."""
    state = {
        "model": model.state_dict(),
        "optimizers": [optimizer.state_dict() for optimizer, _ in optimizers],
        "progress": asdict(progress),
    }
    temporary = out / "checkpoint.pt.tmp"
    torch.save(state, temporary)
    temporary.replace(out / "checkpoint.pt")


def export(out: Path, folder: Path, seed: int) -> None:
    """Write the last checkpoint as a model folder that transformers can load:
    bfloat16 weights, tokenizer, template."""
    state = torch.load(out / "checkpoint.pt", weights_only=True)
    model: Any = build_model(seed)
    model.load_state_dict(state["model"])
    model = model.to(torch.bfloat16).eval()
    model.generation_config = GenerationConfig(
        do_sample=False, max_new_tokens=256, pad_token_id=PAD, bos_token_id=BOS, eos_token_id=END
    )
    model.save_pretrained(folder)
    (folder / "model.safetensors").chmod(0o644)
    load_or_train_tokenizer(out, seed).save_pretrained(folder)
    _make_tokenizer_portable(folder / "tokenizer_config.json")
    print(f"exported {sum(p.numel() for p in model.parameters()):,} parameters after {state['progress']}")


def _make_tokenizer_portable(path: Path) -> None:
    """Name the class that older transformers and other servers know too;
    drop what only describes this machine."""
    config = json.loads(path.read_text())
    config["tokenizer_class"] = "PreTrainedTokenizerFast"
    for local in ("is_local", "local_files_only", "backend"):
        config.pop(local, None)
    path.write_text(json.dumps(config, indent=2) + "\n")


_Example = tuple[list[int], list[bool]]


def _encode(tokenizer: Tokenizer, conversation: Conversation) -> _Example:
    """Token ids in the chat template's form, and for each whether the model has to produce it."""
    ids: list[int] = []
    answer: list[bool] = []
    for message in conversation.messages:
        content = tokenizer.encode(message["content"], add_special_tokens=False).ids
        produced = message["role"] == "assistant"
        ids += [ROLES[message["role"]], *content, END]
        answer += [False] + [produced] * (len(content) + 1)
    return ids, answer


def _with_random_tokens(rng: random.Random, conversation: Conversation, example: _Example) -> _Example:
    """Maybe replace half of the tokens that the answer shares
    with the question by random ones, alike on both sides."""
    single_turn = len(conversation.messages) <= 3
    if conversation.task not in FOUND_IN_QUESTION or not single_turn or rng.random() > SUBSTITUTION_SHARE:
        return example
    ids, answer = example
    asked = {token for token, produced in zip(ids, answer, strict=True) if not produced}
    shared = sorted(
        {token for token, produced in zip(ids, answer, strict=True) if produced}
        & asked - set(range(len(SPECIAL)))
    )
    swapped = {token: rng.randrange(len(SPECIAL), VOCABULARY) for token in shared if rng.random() < 0.5}
    return [swapped.get(token, token) for token in ids], answer


def _copy_of_random_tokens(tokenizer: Tokenizer, generator: torch.Generator) -> _Example:
    command = tokenizer.encode("Copy: ", add_special_tokens=False).ids
    count = int(torch.randint(3, 25, (1,), generator=generator))
    content = torch.randint(len(SPECIAL), VOCABULARY, (count,), generator=generator).tolist()
    question = [USER, *command, *content, END, ASSISTANT]
    return [*question, *content, END], [False] * len(question) + [True] * (count + 1)


def _group_by_length(examples: list[_Example]) -> list[list[_Example]]:
    """Rows of similar length together, at most TOKENS_PER_BATCH tokens with padding."""
    groups: list[list[_Example]] = [[]]
    for example in sorted(examples, key=lambda example: len(example[0])):
        if groups[-1] and len(example[0]) * (len(groups[-1]) + 1) > TOKENS_PER_BATCH:
            groups.append([])
        groups[-1].append(example)
    return groups


def _pad(group: list[_Example]) -> tuple[torch.Tensor, torch.Tensor]:
    # Right padding under a causal mask needs no attention mask: padding is never seen by a real token.
    length = -(-max(len(ids) for ids, _ in group) // 8) * 8
    ids = torch.full((len(group), length), PAD)
    is_answer = torch.zeros((len(group), length), dtype=torch.bool)
    for row, (tokens, answer) in enumerate(group):
        ids[row, : len(tokens)] = torch.tensor(tokens)
        is_answer[row, : len(answer)] = torch.tensor(answer)
    return ids, is_answer


def _take_step(
    model: LlamaForCausalLM,
    optimizers: list[tuple[torch.optim.Optimizer, float]],
    loss: torch.Tensor,
    rate: float,
) -> None:
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    for optimizer, peak in optimizers:
        for group in optimizer.param_groups:
            group["lr"] = peak * rate
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)


def _resume(
    out: Path,
    model: LlamaForCausalLM,
    optimizers: list[tuple[torch.optim.Optimizer, float]],
    progress: PretrainProgress,
) -> None:
    path = out / "checkpoint.pt"
    if not path.exists():
        return
    state = torch.load(path, weights_only=True)
    model.load_state_dict(state["model"])
    for (optimizer, _), saved in zip(optimizers, state["optimizers"], strict=True):
        optimizer.load_state_dict(saved)
    for name, value in state["progress"].items():
        setattr(progress, name, value)
    print(f"resumed at step {progress.step}")


def _report(out: Path, progress: PretrainProgress, share: float, rate: float, answer_loss: float) -> None:
    line = (
        f"step {progress.step} share {share:.3f} rate {rate:.3f} answer loss {answer_loss:.4f} "
        f"tokens {progress.tokens / 1e6:.2f}M seconds {progress.seconds:.0f} "
        f"tokens/s {progress.tokens / progress.seconds:.0f} cpu-s {time.process_time():.0f}"
    )
    print(line, flush=True)
    with (out / "log.txt").open("a") as log:
        log.write(line + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(
        description="Train the bundled starter model, or export a run's last checkpoint."
    )
    parser.add_argument(
        "--out", type=Path, required=True, help="folder of the run: checkpoint, tokenizer, log"
    )
    parser.add_argument(
        "--minutes", type=float, default=75, help="planned length of the run, resumed time included"
    )
    parser.add_argument(
        "--tokens", type=int, default=10**12, help="end after this many tokens, if that comes first"
    )
    parser.add_argument("--seed", type=int, default=1, help="seed of weights and text")
    parser.add_argument(
        "--threads", type=int, default=1, help="torch threads; on a busy machine one is fastest"
    )
    parser.add_argument("--save-seconds", type=float, default=120, help="seconds between checkpoints")
    parser.add_argument("--export", type=Path, help="write the model folder here when training is over")
    parser.add_argument("--no-train", action="store_true", help="only export what is there")
    arguments = parser.parse_args()
    hardware.set_up_torch(threads=arguments.threads)
    if not arguments.no_train:
        train(
            arguments.out,
            minutes=arguments.minutes,
            tokens=arguments.tokens,
            seed=arguments.seed,
            save_seconds=arguments.save_seconds,
        )
    if arguments.export:
        export(arguments.out, arguments.export, arguments.seed)


if __name__ == "__main__":
    main()
