"""Customer support text: the starter's own domain, because it is what many teams try first."""

from core.training.starter import words
from core.training.starter.words import Draw

_ACTIONS = (
    "reset your password;change your email address;cancel your order;track your package;return an "
    "item;contact support;update your payment method;download your invoice;delete your account;change your "
    "delivery address;invite a colleague;enable two factor authentication;renew your subscription;apply a "
    "discount code;export your data;pause your plan;register your product;book a repair;change your user "
    "name;see your points;request a refund;order a spare part"
).split(";")
_PLACES = (
    "the settings page;your account page;the orders page;the help center;the billing page;the profile "
    "menu;the dashboard;the main menu;the mobile app;the service page"
).split(";")
_BUTTONS = (
    "Edit Save Continue Confirm Manage Details Options Security Update Submit Request Start Next Send".split()
)
_GOOD = "great excellent wonderful amazing reliable fantastic perfect beautiful useful sturdy".split()
_BAD = "terrible bad broken awful slow disappointing useless noisy fragile ugly".split()
_TEAMS = {
    "billing": (
        "I was charged twice",
        "my invoice is wrong",
        "why did the price change",
        "my card was declined",
    ),
    "shipping": (
        "the package has not arrived",
        "my parcel is late",
        "the box was damaged",
        "where is my order",
    ),
    "technical": (
        "the app crashes",
        "I cannot log in",
        "the {} does not turn on",
        "the {} makes a strange noise",
    ),
    "refund": (
        "I want my money back",
        "please refund my order",
        "I sent the {} back",
        "I changed my mind about the {}",
    ),
}


def support_reply(draw: Draw) -> tuple[str, str]:
    """One support question with its answer; seven kinds, equally often."""
    kinds = (_instruction, _return_rule, _product_text, _apology, _sentiment, _routing, _shop_question)
    return draw.one(*kinds)(draw)


def _instruction(draw: Draw) -> tuple[str, str]:
    action, place = draw.word(_ACTIONS), draw.one(*_PLACES)
    first, second = draw.rng.sample(_BUTTONS, 2)
    mine = action.replace("your", "my")
    question = draw.one("How do I {}?", "How can I {}?", "I want to {}. What should I do?", "Where can I {}?")
    answer = draw.one(
        f"To {action}, open {place}, select {first} and click {second}.",
        f"You can {action} from {place}. Choose {first} and then press {second}.",
        f"Please go to {place}, press {first} and follow the instructions to {action}.",
    )
    return question.format(mine), answer


def _return_rule(draw: Draw) -> tuple[str, str]:
    product, limit = draw.word(words.PRODUCTS), draw.one(7, 14, 21, 30, 45, 60, 90)
    late = draw.chance(0.5)
    days = limit + draw.number(1, 30) if late else draw.number(1, limit)
    question = (
        f"Our rule: items can be returned within {limit} days.\n"
        f"Customer: Can I return my {product} after {days} days?"
    )
    if late:
        return question, f"I'm sorry, but returns are only possible within {limit} days."
    return question, f"Yes, you can return your {product}, because returns are possible within {limit} days."


def _product_text(draw: Draw) -> tuple[str, str]:
    product, colour, brand = draw.word(words.PRODUCTS), draw.word(words.COLOURS), draw.made_up().capitalize()
    answer = (
        f"Meet the new {colour} {product} from {brand}. It is {draw.one(*_GOOD)}, "
        f"simple and easy to use every day."
    )
    return f"Write a short product description for a {colour} {product} from {brand}.", answer


def _apology(draw: Draw) -> tuple[str, str]:
    name, product = draw.word(words.NAMES), draw.word(words.PRODUCTS)
    problem = draw.one("arrived late", "was damaged", "does not work", "was lost", "has the wrong colour")
    answer = f"Dear {name}, we are very sorry that your {product} {problem}. "
    answer += "We will send you a solution today. Thank you for your patience."
    return f"Write a polite reply to {name}, whose {product} {problem}.", answer


def _sentiment(draw: Draw) -> tuple[str, str]:
    good = draw.chance(0.5)
    adjective = draw.word(_GOOD if good else _BAD)
    end = draw.one(
        f" and I {'love' if good else 'hate'} it.",
        ".",
        f". I would {'buy it again' if good else 'never buy it again'}.",
    )
    question = draw.one(
        "Is this review positive or negative?", "Classify the sentiment:", "Positive or negative?"
    )
    return (
        f"{question} The {draw.word(words.PRODUCTS)} is {adjective}{end}",
        "Positive" if good else "Negative",
    )


def _routing(draw: Draw) -> tuple[str, str]:
    team = draw.one(*_TEAMS)
    message = draw.one(*_TEAMS[team]).format(draw.word(words.PRODUCTS))
    question = draw.one(
        "Which department should handle this message: {}?",
        "Route this ticket: {}",
        "Who should answer this? {}",
    )
    return question.format(message), f"This message should go to the {team} team."


def _shop_question(draw: Draw) -> tuple[str, str]:
    """Questions and answers in the shape of a company's FAQ; the facts are made up and differ each time."""
    brand, product, country = (
        draw.made_up().capitalize(),
        draw.word(words.PRODUCTS),
        draw.word(words.COUNTRIES),
    )
    low = draw.number(1, 9)
    months, price, city = draw.one(6, 12, 18, 24, 36, 60), draw.number(9, 999), draw.word(words.CITIES)
    return draw.one(
        (
            f"Do you ship to {country}?",
            f"Yes, we ship to {country}. Delivery usually takes {low} to {low + 3} business days.",
        ),
        (
            f"How long is the warranty of the {brand} {product}?",
            f"The {brand} {product} comes with a warranty of {months} months.",
        ),
        (
            f"What does the {brand} {product} cost?",
            f"The {brand} {product} costs {price} euros, including tax and delivery.",
        ),
        (
            f"Where is the {brand} {product} made?",
            f"The {brand} {product} is designed and assembled in our workshop in {city}.",
        ),
        (
            "When is your support team available?",
            f"You can reach our team from Monday to Friday between {low} am and {low + 3} pm.",
        ),
        (
            f"Do you repair the {brand} {product}?",
            f"Yes, we repair it in {city}. Most repairs are finished within {low} weeks.",
        ),
        (
            f"Can I use the {brand} {product} outdoors?",
            f"No, the {brand} {product} is made for indoor use only. Please keep it dry.",
        ),
        (
            f"How do I clean the {brand} {product}?",
            f"Use a soft cloth and warm water. Do not put the {product} into the dishwasher.",
        ),
        (
            f"Do you offer discounts for {brand} customers?",
            f"Yes, orders above {price} euros get a discount of {low} percent.",
        ),
    )


def support_rule(draw: Draw) -> tuple[str, str]:
    """A support question that has exactly one right answer, for the evaluation."""
    return draw.one(_return_rule, _apology, _sentiment, _routing)(draw)
