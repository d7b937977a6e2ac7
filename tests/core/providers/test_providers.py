"""Providers: the contract every member keeps, and the real inference process with a tiny random model."""

import os
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from core import chats, models
from core.chats import sources
from core.db import writing
from core.errors import Conflict, ContextLengthExceeded, OutOfTokens, Unavailable, ValidationError
from core.inference.check_model import check
from core.inference.inspection import inspect
from core.inference.text import Detokenizer, StopFilter
from core.people.users import User
from core.providers import PROVIDERS
from core.providers.base import AskedModel, Delta, Finish, Generation, Provider
from core.providers.local import ENDED, LocalProvider
from core.security import new_id
from core.tables import ModelRow, ModelVersionRow
from core.weights import PLAIN_TEMPLATE, Weights, read_facts, template_sha256
from tests import fake_http

HELLO = [{"role": "user", "content": "Hello"}]
PLACES: dict[str, Weights] = {}  # where the versions lie that these tests ask; no registry knows them


@pytest.fixture(scope="module")
def provider() -> Iterator[LocalProvider]:
    """One inference process for all tests here."""
    made = LocalProvider(PLACES.__getitem__)
    yield made
    made.stop()


@pytest.fixture(scope="session")
def talker(tiny_base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model with a long context, and with special tokens
    so unlikely that a greedy answer never ends by itself."""
    import torch
    from transformers import AutoModelForCausalLM

    folder = tmp_path_factory.mktemp("talker")
    shutil.copytree(tiny_base, folder, dirs_exist_ok=True)
    model: Any = AutoModelForCausalLM.from_pretrained(tiny_base, dtype=torch.float32)
    with torch.no_grad():
        model.get_input_embeddings().weight[:5] = 0
    model.config.max_position_embeddings = 100_000
    model.save_pretrained(folder)
    return folder


def whole(folder: Path) -> Weights:
    return Weights(new_id("mdv"), folder, folder, None, template_sha256(folder))


def asked(weights: Weights) -> AskedModel:
    """A model of which this is the version."""
    PLACES[weights.version_id] = weights
    return AskedModel("mdl_asked", "asked", weights.version_id, 128)


def ask(provider: LocalProvider, weights: Weights, **parameters: Any) -> tuple[str, Finish]:
    return read(provider.generate(Generation(asked(weights), HELLO, parameters), stop=lambda: False))


def read(events: Iterator[Delta | Finish]) -> tuple[str, Finish]:
    text = ""
    for event in events:
        if isinstance(event, Finish):
            return text, event
        text += event.text
    raise AssertionError("no Finish")


def decode_bytes(tokens: list[int]) -> str:
    return bytes(tokens).decode("utf-8", "replace")


@pytest.mark.parametrize("text", ["plain", "a🦆b", "👩‍👩‍👧‍👦", "日本語", "é", "x" * 9, "🦆" * 7])
def test_characters_split_over_tokens_arrive_whole(text: str) -> None:
    detokenizer = Detokenizer(decode_bytes)
    pieces = [detokenizer.push(byte) for byte in text.encode()] + [detokenizer.finish()]
    assert "".join(pieces) == text
    assert not any("\ufffd" in piece for piece in pieces)


def test_a_character_cut_off_at_the_end_is_dropped() -> None:
    detokenizer = Detokenizer(decode_bytes)
    pieces = [detokenizer.push(byte) for byte in "ok 🦆".encode()[:-1]] + [detokenizer.finish()]
    assert "".join(pieces) == "ok "


def test_bytes_that_are_no_text_do_not_hold_up_the_stream() -> None:
    detokenizer = Detokenizer(decode_bytes)
    text = "".join(detokenizer.push(0xFF) for _ in range(20))
    assert len(text) >= 16


@pytest.mark.parametrize("size", [1, 2, 3, 50])
def test_a_stop_string_ends_the_text_wherever_it_is_cut(size: int) -> None:
    stops = StopFilter(["STOP", "\n\n"])
    text = "one STO two ST\nOP three STOP four"
    pieces = [stops.push(text[i : i + size]) for i in range(0, len(text), size)] + [stops.finish()]
    assert "".join(pieces) == "one STO two ST\nOP three "
    assert stops.stopped


def test_what_only_looked_like_a_stop_string_is_shown_in_the_end() -> None:
    stops = StopFilter(["STOP"])
    assert stops.push("abc STO") + stops.finish() == "abc STO"


def test_greedy_answers_are_the_same_every_time_and_count_their_tokens(
    provider: LocalProvider, talker: Path
) -> None:
    first, second = (ask(provider, whole(talker), temperature=0, max_tokens=12) for _ in range(2))
    assert first == second
    assert first[1].reason == "length"
    assert first[1].usage.completion_tokens == 12
    assert first[1].usage.prompt_tokens > len("Hello")  # one token per byte, and the template's


def test_a_seed_repeats_a_draw_and_another_seed_does_not(provider: LocalProvider, talker: Path) -> None:
    def draw(seed: int) -> str:
        return ask(provider, whole(talker), temperature=1, top_p=0.9, seed=seed, max_tokens=30)[0]

    assert draw(1) == draw(1) != draw(2)


def test_the_stream_equals_a_greedy_answer_of_transformers(provider: LocalProvider, talker: Path) -> None:
    expected = generate_with_transformers(talker, adapter=None, tokens=40)
    assert characters(ask(provider, whole(talker), temperature=0, max_tokens=40)[0]) == expected


def test_stop_strings_end_an_answer_and_are_not_part_of_it(provider: LocalProvider, talker: Path) -> None:
    full, _ = ask(provider, whole(talker), temperature=0, max_tokens=60)
    stop = next(full[i : i + 2] for i in range(10, 60) if full[i : i + 2].isascii())
    text, finish = ask(provider, whole(talker), temperature=0, max_tokens=60, stop=[stop])
    assert text == full[: full.index(stop)]
    assert finish.reason == "stop"


def test_answers_written_together_equal_answers_written_alone(provider: LocalProvider, talker: Path) -> None:
    prompts = ["Hi", "A much longer question than the first one", "?", "Tell me a story about ducks"]
    weights = whole(talker)

    def answer(prompt: str) -> tuple[str, Finish]:
        request = Generation(
            asked(weights), [{"role": "user", "content": prompt}], {"temperature": 0, "max_tokens": 150}
        )
        return read(provider.generate(request, stop=lambda: False))

    alone = {prompt: answer(prompt) for prompt in prompts}
    together: dict[str, tuple[str, Finish]] = {}
    threads = [
        threading.Thread(target=lambda p=prompt: together.update({p: answer(p)})) for prompt in prompts
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert together == alone


def test_cancelling_stops_within_a_moment_and_keeps_the_count(provider: LocalProvider, talker: Path) -> None:
    seen: list[str] = []
    events = provider.generate(
        Generation(asked(whole(talker)), HELLO, {"max_tokens": 8192}), stop=lambda: len(seen) > 5
    )
    for event in events:
        if isinstance(event, Finish):
            assert event.reason == "cancelled"
            assert 5 < event.usage.completion_tokens < 8192
            return
        seen.append(event.text)
    raise AssertionError("no Finish")


def test_a_conversation_beyond_the_context_is_refused_or_forgets_its_beginning(
    provider: LocalProvider, tiny_base: Path
) -> None:
    turns = [{"role": role, "content": "x" * 30} for _ in range(4) for role in ("user", "assistant")]
    messages = [{"role": "system", "content": "Be brief"}, *turns, {"role": "user", "content": "Well?"}]
    model = asked(whole(tiny_base))
    with pytest.raises(ContextLengthExceeded, match="at most 128 tokens"):
        read(provider.generate(Generation(model, messages, {"max_tokens": 5}), stop=lambda: False))
    shorter = Generation(model, messages, {"max_tokens": 5}, forget=True)
    _, finish = read(provider.generate(shorter, stop=lambda: False))
    assert finish.usage.prompt_tokens <= 128 - 5


def test_a_changed_chat_template_is_noticed(provider: LocalProvider, tiny_base: Path) -> None:
    registered = whole(tiny_base)
    changed = Weights(registered.version_id, registered.folder, registered.base, None, "0" * 64)
    with pytest.raises(Unavailable, match="chat template"):
        ask(provider, changed)


def test_a_model_without_a_chat_template_answers_in_the_plain_one(
    provider: LocalProvider, tiny_base: Path, tmp_path: Path
) -> None:
    shutil.copytree(tiny_base, tmp_path / "bare")
    (tmp_path / "bare" / "chat_template.jinja").unlink()
    weights = whole(tmp_path / "bare")
    assert weights.chat_template_sha256 is None
    _, finish = ask(provider, weights, max_tokens=3)
    assert finish.usage.prompt_tokens == len("### User:\nHello\n\n### Assistant:\n")


def test_the_plain_template_marks_what_the_assistant_says(tiny_base: Path) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tiny_base)
    messages = [*HELLO, {"role": "assistant", "content": "Hi!"}]
    rendered = tokenizer.apply_chat_template(
        messages, chat_template=PLAIN_TEMPLATE, return_dict=True, return_assistant_tokens_mask=True
    )
    said = [
        token for token, mine in zip(rendered["input_ids"], rendered["assistant_masks"], strict=True) if mine
    ]
    assert tokenizer.decode(said) == "Hi!<|end|>"


def test_a_folder_without_weights_is_a_clear_error_and_the_process_lives_on(
    provider: LocalProvider, tiny_base: Path, tmp_path: Path
) -> None:
    with pytest.raises(Unavailable, match="could not be loaded"):
        ask(provider, whole(tmp_path))
    assert ask(provider, whole(tiny_base), max_tokens=2)[1].reason == "length"


@pytest.mark.slow
def test_killing_the_process_while_it_writes_is_a_clear_error_and_the_next_request_works(
    provider: LocalProvider, talker: Path
) -> None:
    events = provider.generate(
        Generation(asked(whole(talker)), HELLO, {"max_tokens": 8192}), stop=lambda: False
    )
    next(event for event in events if isinstance(event, Delta) and event.text)
    pid = provider.pid
    assert pid
    os.kill(pid, signal.SIGKILL)
    with pytest.raises(Unavailable, match=ENDED.split(".")[0]):
        list(events)
    assert ask(provider, whole(talker), max_tokens=3)[1].reason == "length"
    assert provider.pid != pid


@pytest.mark.slow  # ten seconds of silence, then a process that imports torch
def test_a_process_that_hangs_is_replaced_and_what_only_waited_is_answered(
    provider: LocalProvider, talker: Path
) -> None:
    """One is being written when the process stops, one is sent after that."""
    weights = whole(talker)
    events = provider.generate(Generation(asked(weights), HELLO, {"max_tokens": 8192}), stop=lambda: False)
    next(event for event in events if isinstance(event, Delta) and event.text)
    pid, stopped = provider.pid, time.monotonic()
    assert pid
    os.kill(pid, signal.SIGSTOP)
    waiting: list[Finish] = []
    thread = threading.Thread(target=lambda: waiting.append(ask(provider, weights, max_tokens=3)[1]))
    thread.start()
    with pytest.raises(Unavailable, match=ENDED.split(".")[0]):
        list(events)
    assert time.monotonic() - stopped < 15
    thread.join(60)
    assert [finish.reason for finish in waiting] == ["length"]
    assert provider.pid != pid


def test_an_answer_goes_on_while_a_long_prompt_is_read_and_both_are_right(
    provider: LocalProvider, talker: Path
) -> None:
    long = [{"role": "user", "content": "many words " * 300}]
    model = asked(whole(talker))
    short = Generation(model, HELLO, {"temperature": 0, "max_tokens": 300}, user="ada")
    much = Generation(model, long, {"temperature": 0, "max_tokens": 5}, user="bob")
    alone = read(provider.generate(much, stop=lambda: False))
    expected = read(provider.generate(short, stop=lambda: False))
    ended: list[str] = []

    def answer_much() -> None:
        assert read(provider.generate(much, stop=lambda: False)) == alone
        ended.append("much")

    text, thread = "", threading.Thread(target=answer_much)
    for event in provider.generate(short, stop=lambda: False):
        if isinstance(event, Finish):
            assert (text, event) == expected
            break
        text += event.text
        if len(text) > 3 and not thread.is_alive() and not ended:
            thread.start()
    thread.join(60)
    assert ended == ["much"]


def test_what_is_cancelled_while_its_prompt_is_read_costs_nothing_and_leaves_its_place(
    provider: LocalProvider, talker: Path
) -> None:
    long = [{"role": "user", "content": "many words " * 4000}]
    request = Generation(asked(whole(talker)), long, {"max_tokens": 5})
    *_, last = provider.generate(request, stop=lambda: True)
    assert isinstance(last, Finish)
    assert (last.reason, last.usage.total_tokens) == ("cancelled", 0)
    assert ask(provider, whole(talker), max_tokens=3)[1].reason == "length"


def test_a_limit_on_all_tokens_cuts_the_answer_and_refuses_what_is_too_long(
    provider: LocalProvider, talker: Path
) -> None:
    model = asked(whole(talker))
    _, finish = read(provider.generate(Generation(model, HELLO, most_tokens=20), stop=lambda: False))
    assert (finish.usage.total_tokens, finish.reason) == (20, "length")
    with pytest.raises(OutOfTokens, match="has 8 tokens, and 8 may still be used"):
        read(provider.generate(Generation(model, HELLO, most_tokens=8), stop=lambda: False))


def test_what_is_left_out_of_a_conversation_is_counted(provider: LocalProvider, tiny_base: Path) -> None:
    turns = [{"role": role, "content": "x" * 30} for _ in range(4) for role in ("user", "assistant")]
    request = Generation(
        asked(whole(tiny_base)), [*turns, {"role": "user", "content": "?"}], {"max_tokens": 5}, forget=True
    )
    assert read(provider.generate(request, stop=lambda: False))[1].left_out == 6


def test_top_k_of_one_and_min_p_of_one_take_the_likeliest(provider: LocalProvider, talker: Path) -> None:
    greedy = ask(provider, whole(talker), temperature=0, max_tokens=30)[0]
    for only_the_likeliest in ({"top_k": 1}, {"min_p": 1.0}):
        assert ask(provider, whole(talker), temperature=2, max_tokens=30, **only_the_likeliest)[0] == greedy
    assert ask(provider, whole(talker), temperature=2, max_tokens=30, top_k=50, seed=1)[0] != greedy


def test_a_repetition_penalty_equals_that_of_transformers(provider: LocalProvider, talker: Path) -> None:
    expected = generate_with_transformers(talker, adapter=None, tokens=40, repetition_penalty=40.0)
    got = ask(provider, whole(talker), temperature=0, max_tokens=40, repetition_penalty=40.0)[0]
    assert characters(got) == expected
    assert got != ask(provider, whole(talker), temperature=0, max_tokens=40)[0]


def test_an_answer_may_go_on_past_its_end_token(provider: LocalProvider, tiny_base: Path) -> None:
    finish = ask(provider, whole(tiny_base), temperature=2, seed=1, max_tokens=100, ignore_eos=True)[1]
    assert (finish.reason, finish.usage.completion_tokens) == ("length", 100)


def test_the_process_ends_with_its_pipe(talker: Path) -> None:
    provider = LocalProvider(PLACES.__getitem__)
    provider.warm(asked(whole(talker)))
    pid = provider.pid
    assert pid
    provider.stop()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


@pytest.fixture(scope="session")
def make_adapter(talker: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[int], Path]:
    def make(seed: int) -> Path:
        import torch
        from peft import LoraConfig, get_peft_model
        from transformers import AutoModelForCausalLM

        torch.manual_seed(seed)
        model = AutoModelForCausalLM.from_pretrained(talker, dtype=torch.float32)
        tuned = get_peft_model(
            model, LoraConfig(task_type="CAUSAL_LM", r=4, lora_alpha=64, target_modules="all-linear")
        )
        with torch.no_grad():
            for name, weight in tuned.named_parameters():
                if "lora_B" in name:
                    weight.normal_(std=0.3)
        folder = tmp_path_factory.mktemp("adapter")
        tuned.save_pretrained(folder)
        return folder

    return make


def generate_with_transformers(base: Path, *, adapter: Path | None, tokens: int, **more: Any) -> str:
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(base)
    model: Any = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    if adapter:
        model = PeftModel.from_pretrained(model, adapter).merge_and_unload()
    prompt = tokenizer.apply_chat_template(
        HELLO, add_generation_prompt=True, return_dict=True, return_tensors="pt"
    )
    written = model.generate(**prompt, max_new_tokens=tokens, do_sample=False, **more)[
        0, prompt["input_ids"].shape[1] :
    ]
    return characters(str(tokenizer.decode(written, skip_special_tokens=True)))


def characters(text: str) -> str:
    """Without replacement characters: a random model writes bytes
    that are no text, and nobody minds how many of them."""
    return text.replace("\ufffd", "")


def test_adapters_and_their_base_answer_in_one_batch_as_if_merged_and_alone(
    provider: LocalProvider, talker: Path, make_adapter: Callable[[int], Path]
) -> None:
    one, two = make_adapter(1), make_adapter(2)
    expected = [
        generate_with_transformers(talker, adapter=adapter, tokens=60) for adapter in (one, two, None)
    ]
    assert len(set(expected)) == 3
    versions = [Weights(new_id("mdv"), folder, talker, folder, None) for folder in (one, two)]
    versions.append(whole(talker))
    got: dict[int, str] = {}

    def answer(place: int) -> None:
        got[place] = characters(ask(provider, versions[place], temperature=0, max_tokens=60)[0])

    threads = [threading.Thread(target=answer, args=(place,)) for place in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [got[place] for place in range(3)] == expected


def test_an_adapter_on_its_base_gives_the_logits_of_the_merged_model(
    talker: Path, make_adapter: Callable[[int], Path]
) -> None:
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    from core.inference.loaded import LoadedModels

    folder = make_adapter(3)
    loaded = LoadedModels().get(Weights("mdv_a", folder, talker, folder, None))
    adapter = loaded.put_on(Weights("mdv_a", folder, talker, folder, None))
    base: Any = AutoModelForCausalLM.from_pretrained(talker, dtype=torch.float32)
    bare = base(torch.arange(10)[None]).logits
    merged = PeftModel.from_pretrained(base, folder).merge_and_unload()
    tokens = torch.arange(10)[None]
    with torch.no_grad():
        mixed = loaded.forward([adapter, None], input_ids=tokens.repeat(2, 1)).logits
        assert (loaded.forward([adapter], input_ids=tokens).logits - merged(tokens).logits).abs().max() < 1e-3
        assert (mixed[0] - merged(tokens).logits[0]).abs().max() < 1e-3
        assert (mixed[1] - bare[0]).abs().max() < 1e-3


@pytest.mark.slow
def test_a_model_folder_is_inspected_by_a_process_of_its_own(tiny_base: Path) -> None:
    found = inspect(str(tiny_base))
    assert found.architecture == "LlamaForCausalLM"
    assert found.num_parameters == read_facts(tiny_base).num_parameters > 10_000
    assert found.context_length == 128
    assert (found.notes, found.packs_rows) == ((), True)


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (lambda folder: (folder / "config.json").unlink(), "config.json is missing"),
        (lambda folder: (folder / "model.safetensors").unlink(), "no .safetensors weights"),
        (
            lambda folder: (folder / "model.safetensors").write_bytes(b"nonsense, not tensors"),
            "weights cannot be read",
        ),
        (lambda folder: (folder / "tokenizer.json").unlink(), "tokenizer"),
        (lambda folder: (folder / "config.json").write_text("{"), "not valid JSON"),
        (lambda folder: (folder / "config.json").write_text('{"model_type": "vit"}'), "no language model"),
        (
            lambda folder: (folder / "config.json").write_text('{"model_type": "x", "auto_map": {"a": "b"}}'),
            "code of its own",
        ),
    ],
    ids=["config", "weights", "garbage", "tokenizer", "json", "vision", "remote code"],
)
def test_a_folder_that_is_no_model_says_what_is_missing(
    tiny_base: Path, tmp_path: Path, spoil: Callable[[Path], object], sentence: str
) -> None:
    folder = tmp_path / "model"
    shutil.copytree(tiny_base, folder)
    spoil(folder)
    assert sentence in check(str(folder))["error"]


def test_what_is_wrong_with_a_folder_reaches_the_admin_as_a_field_error(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match=r"config\.json is missing"):
        inspect(str(tmp_path))


def answered_by_local(user: User, folder: Path) -> Iterator[models.Callable]:
    with writing() as session:
        row = ModelRow(id=new_id("mdl"), owner_id=user.id, name="tiny", type="finetuned", provider="local")
        session.add(row)
        session.flush()
        session.add(ModelVersionRow(id=new_id("mdv"), model_id=row.id, version=1, folder=str(folder)))
    yield models.resolve(user, "tiny")


def answered_over_http(user: User, _folder: Path) -> Iterator[models.Callable]:
    with fake_http.upstream():
        yield models.resolve(user, models.get(user, fake_http.make_external(user)).name)


# how a model of each provider comes to be, so that the contract can ask it
MODELS = {"local": answered_by_local, fake_http.NAME: answered_over_http}


@pytest.mark.parametrize("name", [*PROVIDERS, fake_http.NAME])
def test_every_provider_keeps_the_contract(name: str, ada: User, tiny_base: Path) -> None:
    for model in MODELS[name](ada, tiny_base):
        member = sources.provider_of(model)
        assert member.name == name
        assert member.title
        try:
            asked = AskedModel(model.answering.id, model.name, model.version and model.version.id, 128)
            member.require(asked)
            member.warm(asked)
            events = list(member.generate(Generation(asked, HELLO, {"max_tokens": 4}), stop=lambda: False))
            assert [type(event) for event in events[:-1]] == [Delta] * (len(events) - 1)
            assert isinstance(events[-1], Finish)
            started = time.monotonic()
            *_, last = member.generate(Generation(asked, HELLO), stop=lambda: True)
            assert isinstance(last, Finish)
            assert last.reason == "cancelled"
            assert time.monotonic() - started < 5
        finally:
            member.stop()


def test_a_provider_that_stops_in_the_middle_is_an_error_and_no_answer(
    ada: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Forgetful(Provider):
        name, title = fake_http.NAME, "Forgetful"

        def generate(self, request: Generation, *, stop: Callable[[], bool]) -> Iterator[Delta | Finish]:
            yield Delta("That is")

    monkeypatch.setitem(PROVIDERS, fake_http.NAME, Forgetful())
    model = models.resolve(ada, models.get(ada, fake_http.make_external(ada)).name)
    with pytest.raises(Unavailable, match="Forgetful ended the answer in the middle"):
        list(chats.complete(ada, model=model, messages=HELLO, parameters={}))


def test_a_chat_learns_before_anything_is_stored_that_its_model_has_no_weights(ada: User) -> None:
    model_id = fake_http.make_external(ada, provider="local")
    chat = chats.create(ada, chats.NewChat(model_id=model_id))
    with pytest.raises(Conflict, match="far-1 has no weights on this server"):
        chats.send(ada, chats.NewMessage(chat_id=chat.id, content="Hello"))
    assert chats.list_messages(ada, chats.MessageList(chat_id=chat.id)).total == 0
    chats.warm(ada, model_id)
