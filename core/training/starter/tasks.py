"""The starter's tasks besides SQL: each function writes one (question, answer) pair.

Copying made-up words, key=value lists, slot filling and answering from a given context are what lets so small
a model take to new data when it is fine-tuned; small talk, small knowledge and support replies are what lets
it say something sensible before. Facts that can be looked up live in `knowledge.py`.
"""

import json

from core.training.starter import words
from core.training.starter.knowledge import (
    CAPITALS,
    CLASSES,
    DEFINITIONS,
    OPPOSITES,
    SMALL_TALK,
    UNKNOWN,
    UNKNOWN_ANSWERS,
)
from core.training.starter.words import Draw

Pair = tuple[str, str]


def copying(draw: Draw) -> Pair:
    items = [_copied_item(draw) for _ in range(draw.number(1, 6))]
    text, name = " ".join(items), draw.made_up().capitalize()
    kind = draw.number(0, 6)
    if kind <= 3:
        return draw.one(
            "Repeat after me: ", "Repeat this: ", "Copy: ", "Say ", "Write this again: "
        ) + text, text
    if kind == 4:
        listed = ", ".join(items)
        return draw.one(f"Write as a list: {listed}", f"Make a list of {listed}"), "\n".join(
            f"- {item}" for item in items
        )
    if kind == 5:
        question = draw.one("My name is {}.", "I am {}.", "Hi, I'm {}.", "my name is {}").format(name)
        return question, f"Nice to meet you, {name}! How can I help you today?"
    product, city = draw.word(words.PRODUCTS), draw.word(words.CITIES)
    question, answer = draw.one(
        (f"Who bought the {product}?", f"{name} bought the {product}."),
        (f"What did {name} buy?", f"{name} bought a {product}."),
        (f"Where did {name} buy the {product}?", f"{name} bought the {product} in {city}."),
    )
    return f"{name} bought a {product} in {city}. {question}", answer


def _copied_item(draw: Draw) -> str:
    """Mostly made-up words; now and then a code, an address, a date or a number."""
    if draw.chance(0.6):
        return draw.made_up()
    letters = "".join(draw.one(*"ABCDEFGHIJKLMNOPQRSTUVWXYZ") for _ in range(draw.number(2, 3)))
    return draw.one(
        f"{letters}-{draw.number(10, 9999)}",
        f"{draw.made_up()}@{draw.made_up()}.{draw.one('com', 'org', 'net')}",
        f"{draw.number(2015, 2030)}-{draw.number(1, 12):02}-{draw.number(1, 28):02}",
        str(draw.number(1, 99999)),
        f"{draw.number(1, 99)}.{draw.number(10, 99)}",
        draw.made_up().capitalize(),
        draw.word(words.PRODUCTS),
        draw.word(words.NAMES),
    )


def key_value(draw: Draw) -> Pair:
    keys = draw.rng.sample(words.FIELDS, draw.number(2, 5))
    values = [
        draw.one(
            draw.made_up().capitalize(),
            draw.word(words.CITIES),
            str(draw.number(1, 9999)),
            draw.word(words.NAMES),
        )
        for _ in keys
    ]
    pairs = list(zip(keys, values, strict=True))
    sentence = ", ".join(f"{key} is {value}" for key, value in pairs)
    kind = draw.number(0, 3)
    if kind == 0:
        key, value = draw.one(*pairs)
        return f"{sentence}. What is the {key}?", value
    if kind == 1:
        return f"{sentence}. List as key=value.", "; ".join(f"{key}={value}" for key, value in pairs)
    if kind == 2:
        return f"{sentence}. Return JSON.", json.dumps(dict(pairs))
    listed = "\n".join(f"{key}: {value}" for key, value in pairs)
    key, value = draw.one(*pairs)
    return f"{listed}\n" + draw.one(f"What is the {key}?", f"Give me the {key}.", f"{key}?"), value


def slot_filling(draw: Draw) -> Pair:
    name = draw.made_up().capitalize() if draw.chance(0.6) else draw.word(words.NAMES)
    product, city, count = draw.word(words.PRODUCTS), draw.word(words.CITIES), draw.number(2, 60)
    kind = draw.number(0, 3)
    if kind == 0:
        return (
            f"Fill the form. Name {name}, product {product}, city {city}.",
            f"name: {name}\nproduct: {product}\ncity: {city}",
        )
    if kind == 1:
        text = draw.one(
            f"Send {count} {product}s to {name} in {city}.", f"{name} from {city} ordered {count} {product}s."
        )
        return (
            f"Extract the order: {text}",
            f"customer: {name}; product: {product}; count: {count}; city: {city}",
        )
    if kind == 2:
        text = draw.one(
            f"{name} moved to {city} last year.",
            f"My name is {name} and I live in {city}.",
            f"{name} works in {city}.",
        )
        task = draw.one("Extract the name and city as JSON: ", "Return JSON with name and city: ")
        return task + text, json.dumps({"name": name, "city": city})
    template = draw.one(
        "Dear NAME, your PRODUCT is on its way to CITY.", "Hello NAME! We sent the PRODUCT to CITY today."
    )
    filled = template.replace("NAME", name).replace("PRODUCT", product).replace("CITY", city)
    return f"Fill in NAME={name}, PRODUCT={product}, CITY={city}: {template}", filled


def _person(draw: Draw) -> dict[str, str]:
    name = draw.made_up().capitalize() if draw.chance(0.3) else draw.word(words.NAMES)
    pet = f"{draw.word(words.COLOURS)} {draw.word(words.ANIMALS)}"
    return {
        "name": name,
        "city": draw.word(words.CITIES),
        "job": draw.word(words.JOBS),
        "age": str(draw.number(18, 80)),
        "pet": pet,
        "food": draw.word(words.FOODS),
    }


_PERSON_FACTS = {
    "city": (
        ("{name} lives in {city}.", "{name} is from {city}."),
        ("Where does {name} live?", "Which city is {name} from?"),
    ),
    "job": (
        ("{name} works as a {job}.", "{name} is a {job}."),
        ("What does {name} do?", "What is the job of {name}?"),
    ),
    "age": (
        ("{name} is {age} years old.", "The age of {name} is {age}."),
        ("How old is {name}?", "What is the age of {name}?"),
    ),
    "pet": (
        ("{name} has a {pet}.", "{name} owns a {pet}."),
        ("What pet does {name} have?", "Which animal does {name} have?"),
    ),
    "food": (
        ("{name} likes {food}.", "{name} loves {food}."),
        ("What does {name} like to eat?", "What food does {name} like?"),
    ),
}


def people_in_context(draw: Draw) -> Pair:
    people = [_person(draw) for _ in range(draw.number(1, 3))]
    facts = [(person, key) for person in {p["name"]: p for p in people}.values() for key in _PERSON_FACTS]
    facts = draw.rng.sample(facts, draw.number(2, min(7, len(facts))))
    text = " ".join(draw.one(*_PERSON_FACTS[key][0]).format(**person) for person, key in facts)
    person, key = draw.one(*facts)
    question = draw.one(*_PERSON_FACTS[key][1]).format(**person)
    return f"Context: {text}\nQuestion: {question}", _PERSON_FACTS[key][0][0].format(**person)


_SHOP_FACTS = (
    (
        "The {brand} {product} costs {price} euros.",
        ("How much is the {brand} {product}?", "What does the {brand} {product} cost?"),
    ),
    (
        "The {brand} {product} has a warranty of {months} months.",
        ("How long is the warranty of the {brand} {product}?",),
    ),
    ("The {brand} {product} is made of {material}.", ("What is the {brand} {product} made of?",)),
    (
        "The {brand} {product} is made in {city}.",
        ("Where is the {brand} {product} made?", "Where does the {brand} {product} come from?"),
    ),
    ("The {brand} {product} comes in {colour}.", ("Which colour does the {brand} {product} have?",)),
    (
        "{brand} delivers to {country} in {days} days.",
        ("How long does {brand} need to deliver to {country}?",),
    ),
    (
        "The {brand} store in {city} opens at {hour} o'clock.",
        ("When does the {brand} store in {city} open?",),
    ),
    (
        "{brand} accepts returns within {months} days.",
        ("How long can I return things to {brand}?", "What is the return period of {brand}?"),
    ),
)


def notes_in_context(draw: Draw) -> Pair:
    """Looking up the one fitting note, word for word: what answering from documents asks for."""
    brand = draw.made_up().capitalize()
    notes: list[tuple[str, tuple[str, ...], dict[str, str]]] = []
    for note, questions in draw.rng.sample(_SHOP_FACTS, draw.number(2, 5)):
        slots = {
            "brand": brand,
            "product": draw.word(words.PRODUCTS),
            "material": draw.word(words.MATERIALS),
            "city": draw.word(words.CITIES),
            "colour": draw.word(words.COLOURS),
            "country": draw.word(words.COUNTRIES),
            "price": str(draw.number(9, 999)),
            "months": str(draw.one(6, 12, 14, 18, 24, 30, 36, 60)),
            "days": str(draw.number(2, 20)),
            "hour": str(draw.number(6, 11)),
        }
        notes.append((note.format(**slots), questions, slots))
    note, questions, slots = draw.one(*notes)
    listed = "\n".join(f"- {text}" for text, _, _ in notes)
    return (
        (
            f"{draw.one('Notes', 'Context', 'Facts')}:\n"
            f"{listed}\n"
            f"Question: {draw.one(*questions).format(**slots)}"
        ),
        note,
    )


def table_rows(draw: Draw) -> Pair:
    people = {person["name"]: person for person in (_person(draw) for _ in range(draw.number(2, 4)))}
    keys = draw.rng.sample(["age", "city", "job", "food"], 2)
    separator = draw.one(", ", " | ")
    header = separator.join(["name", *keys])
    rows = "\n".join(
        separator.join([name, *(person[key] for key in keys)]) for name, person in people.items()
    )
    person = draw.one(*people.values())
    kind = draw.number(0, 4)
    if kind == 0:
        question, answer = (
            draw.one("How many rows?", "How many people are in the table?"),
            f"There are {len(people)} people in the table.",
        )
    elif kind == 1:
        question, answer = "List the names.", ", ".join(people)
    else:
        key = draw.one(*keys)
        question, answer = (
            draw.one(*_PERSON_FACTS[key][1]).format(**person),
            _PERSON_FACTS[key][0][0].format(**person),
        )
    return f"{header}\n{rows}\n{question}", answer


_VERBS = [
    ("helps", "helped"),
    ("calls", "called"),
    ("visits", "visited"),
    ("paints", "painted"),
    ("watches", "watched"),
]
_VERBS += [
    ("invites", "invited"),
    ("thanks", "thanked"),
    ("follows", "followed"),
    ("pays", "paid"),
    ("meets", "met"),
]


def rewriting(draw: Draw) -> Pair:
    person, other = _person(draw), _person(draw)
    name, (now, then), job = person["name"], draw.one(*_VERBS), other["job"]
    product = draw.word(words.PRODUCTS)
    kind = draw.number(0, 5)
    if kind == 0:
        return f"Rewrite in the passive voice: {name} {now} the {job}.", f"The {job} is {then} by {name}."
    if kind == 1:
        return f"Rewrite in the past tense: {name} {now} the {job}.", f"{name} {then} the {job}."
    if kind == 2:
        verb = draw.one("send me", "repair", "replace", "show me", "bring me", "pack")
        return f"Make this more polite: {verb} the {product}.", f"Could you please {verb} the {product}?"
    if kind == 3:
        answer = f"What is the {draw.one('price', 'weight', 'size', 'colour')} of the {product}?"
        return f"Turn into a question: {answer[8:-1]}", answer
    if kind == 4:
        facts = [
            _PERSON_FACTS[key][0][0].format(**person)
            for key in draw.rng.sample(list(_PERSON_FACTS), draw.number(2, 4))
        ]
        return f"{draw.one('Summarize', 'Give only the first sentence')}: {' '.join(facts)}", facts[0]
    items = [draw.word(words.PRODUCTS) for _ in range(3)]
    return (
        f"Write one sentence with: {', '.join(items)}",
        f"{name} bought a {items[0]}, a {items[1]} and a {items[2]}.",
    )


def word_games(draw: Draw) -> Pair:
    chosen = draw.words(words.PRODUCTS, draw.number(2, 4))
    text, kind = " ".join(chosen), draw.number(0, 5)
    if kind == 0:
        return f"Write in uppercase: {chosen[0]}", chosen[0].upper()
    if kind == 1:
        return draw.one(f"Reverse the order of these words: {text}", f"Reverse this list: {text}"), " ".join(
            chosen[::-1]
        )
    if kind == 2:
        return f"Sort these words alphabetically: {', '.join(chosen)}", ", ".join(sorted(chosen))
    if kind == 3:
        return f"How many words are in this list: {', '.join(chosen)}?", f"There are {len(chosen)} words."
    if kind == 4:
        return f"What is the first word of: {text}", chosen[0]
    return f"What is the last word of: {text}", chosen[-1]


def arithmetic(draw: Draw) -> Pair:
    first, second = draw.number(0, 50), draw.number(0, 50)
    kind = draw.number(0, 4)
    if kind == 0:
        return draw.one(
            f"What is {first} + {second}?", f"{first} plus {second}"
        ), f"{first} + {second} = {first + second}"
    if kind == 1:
        high, low = max(first, second), min(first, second)
        return draw.one(f"What is {high} - {low}?", f"{high} minus {low}"), f"{high} - {low} = {high - low}"
    if kind == 2:
        first, second = draw.number(0, 12), draw.number(0, 12)
        return draw.one(
            f"What is {first} times {second}?", f"{first} * {second}"
        ), f"{first} * {second} = {first * second}"
    name, thing = draw.word(words.NAMES), draw.word(words.PRODUCTS) + "s"
    total = first + second
    if kind == 3:
        question = (
            f"{name} has {first} {thing} and buys {second} more. How many {thing} does {name} have now?"
        )
        return question, f"{first} + {second} = {total}. {name} has {total} {thing}."
    given = draw.number(0, total)
    question = (
        f"{name} had {first} {thing}, bought {second} more and gave {given} away. How many {thing} are left?"
    )
    left = total - given
    return (
        question,
        f"{first} + {second} = {total}. {total} - {given} = {left}. {name} has {left} {thing} left.",
    )


def knowledge(draw: Draw) -> Pair:
    kind = draw.number(0, 5)
    if kind == 0:
        country, capital = draw.one(*CAPITALS.items())
        question = draw.one("What is the capital of {}?", "Which city is the capital of {}?", "capital of {}")
        return question.format(country), f"The capital of {country} is {capital}."
    if kind == 1:
        word, other = draw.one(*OPPOSITES)
        question = draw.one("What is the opposite of {}?", "Give me the opposite of {}.", "opposite of {}")
        return question.format(word), f"The opposite of {word} is {other}."
    if kind <= 3:
        term, meaning = draw.one(*DEFINITIONS.items())
        question = draw.one(
            "What is {}?", "Explain what {} is.", "Define {}.", "What does {} mean?", "what is {}"
        )
        return question.format(term), f"{term[0].upper()}{term[1:]} is {meaning}."
    if kind == 4:
        kind_name, members = draw.one(*CLASSES.items())
        member = draw.one(*members)
        return draw.one(
            f"What kind of thing is a {member}?", f"What is a {member}?"
        ), f"A {member} is {kind_name}."
    days = draw.one(words.WEEKDAYS, words.MONTHS)
    index, noun = draw.number(0, len(days) - 1), "day" if days is words.WEEKDAYS else "month"
    after = days[(index + 1) % len(days)]
    return f"Which {noun} comes after {days[index]}?", f"{after} comes after {days[index]}."


def small_talk(draw: Draw) -> Pair:
    if draw.chance(0.3):
        question = draw.one(*UNKNOWN).format(
            draw.one(draw.word(words.CITIES), draw.word(words.PRODUCTS), draw.word(words.ANIMALS))
        )
        answer = draw.one(*UNKNOWN_ANSWERS)
    else:
        questions, answers = draw.one(*SMALL_TALK)
        question, answer = draw.one(*questions), answers[0] if draw.chance(0.6) else draw.one(*answers)
    return question if draw.chance(0.6) else question.lower(), answer
