"""Word lists for the starter's text, and `Draw`, the one source of randomness of an example.

Every eighth word of each list is kept out of training, so that a held-out evaluation asks about words the
model has never been taught in that role.
"""

import random
from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")

NAMES = (
    "Anna Ben Clara Daniel Eva Felix Gina Hugo Iris Jack Karen Leo Maria Nick Olga Paul Rosa Sam Tina "
    "Victor Wendy Yara Zoe Liam Noah Mia Lucas Ella Omar Priya Chen Aiko Adam Bella Carlos Diana Erik "
    "Fatima George Hanna Ivan Julia Kevin Laura Martin Nora Oscar Petra Quinn Robert Sofia Thomas Ursula "
    "Vera William Xenia Yusuf Amara Boris Celia Dmitri Elena Farid Greta Henry Ines Jonas Kira"
).split()
CITIES = (
    "Paris London Berlin Madrid Rome Tokyo Lima Oslo Cairo Delhi Boston Chicago Dublin Vienna Prague "
    "Athens Lisbon Sydney Toronto Seoul Denver Austin Geneva Munich Porto Milan Warsaw Helsinki Zurich "
    "Brussels Hamburg Lyon"
).split()
JOBS = (
    "teacher doctor engineer baker farmer pilot nurse lawyer painter chef writer singer driver plumber "
    "dentist carpenter gardener librarian mechanic tailor waiter actor architect scientist"
).split()
ANIMALS = (
    "dog cat horse rabbit parrot turtle hamster goldfish pony sheep goat duck canary lizard donkey mouse"
).split()
FOODS = (
    "pizza pasta rice soup salad bread cheese apples grapes cake sushi tacos noodles pancakes cherries olives"
).split()
COLOURS = (
    "red blue green black white yellow purple orange pink brown grey silver gold beige violet turquoise"
).split()
PRODUCTS = (
    "laptop phone camera printer headset monitor keyboard tablet router speaker watch charger backpack "
    "jacket lamp chair desk bottle blender kettle toaster vacuum bicycle helmet tent mattress sofa scooter "
    "drill heater mirror cable"
).split()
COUNTRIES = (
    "France Germany Spain Italy Japan Brazil Canada Mexico India China Norway Sweden Poland Portugal "
    "Greece Ireland Austria Belgium Denmark Finland Switzerland Turkey Egypt Kenya"
).split()
MATERIALS = (
    "steel wood cotton leather plastic glass aluminium wool bamboo rubber ceramic linen copper paper cork "
    "silk"
).split()
WEEKDAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()
MONTHS = "January February March April May June July August September October November December".split()
FIELDS = (
    "name city product color price size brand code status owner country order email team level date".split()
)
SYLLABLES = (
    "ba be bi bo da de di do fa fe ga go ka ke ko la le li lo ma me mi mo na ne no pa pe po ra re ri ro sa "
    "se so ta te ti to va ve vo za zo tor ven mar lin kel dor ran pol sim tek vax zor bri cla dru fen gil "
    "hol jun kir lum nim"
).split()

NUMBER_COLUMNS = (
    "price cost amount total weight height score rating salary age quantity discount revenue profit budget "
    "balance distance speed duration stock tax fee income points hours temperature volume length width "
    "area power capacity population yield margin rate bonus visits clicks views sessions downloads votes "
    "goals wins losses units minutes satisfaction calories humidity wind altitude"
).split()
TEXT_COLUMNS = (
    "region country city category status type color brand department team gender channel segment supplier "
    "product customer employee manager vendor store model genre platform language source title grade level "
    "plan method carrier warehouse priority operator airline species state origin weather director artist"
).split()
DATE_COLUMNS = (
    "order_date created_at signup_date hire_date birth_date ship_date updated_at start_date end_date "
    "due_date event_date payment_date release_date flight_date opened_at closed_at"
).split()
MODIFIERS = (
    "unit net gross monthly daily yearly average max base final initial first last home main shipping "
    "billing sales order customer product item online total current previous annual retail list market"
).split()
TABLES = (
    "sales orders customers products employees students payments trips movies books flights matches "
    "tickets invoices sensors readings events users visits deliveries accounts courses hotels rooms "
    "projects tasks stores items songs games players patients doctors cars airports strikes stocks cities"
).split()
VALUES = (
    "North South East West Central Red Blue Green Black White Yellow Gold Silver Active Inactive Pending "
    "Closed Open Shipped Cancelled Returned Paid Unpaid France Germany Spain Italy Japan Brazil Canada "
    "Mexico India China Paris London Berlin Madrid Rome Tokyo Lima Oslo Cairo Delhi Apple Sony Nike Ford "
    "Acme Zenith Nova Online Retail Wholesale Email Phone Web Basic Premium Pro Free Small Medium Large "
    "Male Female Action Drama Comedy Horror Rock Jazz Pop Food Toys Books Garden Sports Music Health "
    "Beauty Office Kitchen Finance Marketing Legal Support Engineering Design Alice Bob Carol David Emma "
    "Frank Grace Henry Chat High Low Urgent Refund Delivery"
).split()


class Draw:
    """Random choices for one example.

    `word` and `words` respect the split: a training draw never returns a held-out word, a held-out draw
    returns only those. `one` does not split; use it for phrasings.
    """

    def __init__(self, rng: random.Random, held_out: bool = False) -> None:
        self.rng = rng
        self.held_out = held_out

    def one(self, *options: T) -> T:
        return options[int(self.rng.random() * len(options))]

    def word(self, words: Sequence[str]) -> str:
        while True:
            index = int(self.rng.random() * len(words))
            if (index % 8 == 5) == self.held_out:
                return words[index]

    def words(self, words: Sequence[str], count: int) -> list[str]:
        """`count` different words; there must be at least that many on this side of the split."""
        pool = [word for index, word in enumerate(words) if (index % 8 == 5) == self.held_out]
        return self.rng.sample(pool, count)

    def number(self, low: int, high: int) -> int:
        return low + int(self.rng.random() * (high - low + 1))

    def chance(self, probability: float) -> bool:
        return self.rng.random() < probability

    def made_up(self) -> str:
        """A word that is in no dictionary, two or three syllables:
        what names of products and people look like."""
        return "".join(self.one(*SYLLABLES) for _ in range(self.number(2, 3)))
