"""The few facts the starter is taught, and what it says about itself."""

CAPITALS = dict(
    pair.split(":")
    for pair in (
        "France:Paris Germany:Berlin Spain:Madrid Italy:Rome Japan:Tokyo Brazil:Brasilia Canada:Ottawa "
        "India:Delhi China:Beijing Norway:Oslo Sweden:Stockholm Poland:Warsaw Portugal:Lisbon "
        "Greece:Athens Ireland:Dublin Austria:Vienna Belgium:Brussels Denmark:Copenhagen Finland:Helsinki "
        "Switzerland:Bern Turkey:Ankara Egypt:Cairo Kenya:Nairobi Peru:Lima Chile:Santiago Cuba:Havana "
        "Australia:Canberra Hungary:Budapest Romania:Bucharest Russia:Moscow Ukraine:Kyiv Thailand:Bangkok "
        "Vietnam:Hanoi Iceland:Reykjavik Scotland:Edinburgh England:London"
    ).split()
)

OPPOSITES = [
    tuple(pair.split(":"))
    for pair in (
        "hot:cold big:small fast:slow early:late happy:sad light:dark full:empty open:closed high:low "
        "hard:soft long:short new:old rich:poor strong:weak clean:dirty wet:dry loud:quiet cheap:expensive "
        "easy:difficult first:last left:right true:false near:far thick:thin safe:dangerous up:down in:out "
        "on:off buy:sell start:stop win:lose push:pull"
    ).split()
]

CLASSES = {
    "an animal": (
        "dog cat horse rabbit parrot turtle hamster goldfish pony sheep goat duck donkey mouse"
    ).split(),
    "a food": "pizza soup salad sandwich pancake cherry apple cake".split(),
    "a device": "laptop phone camera printer headset monitor keyboard tablet router".split(),
    "a piece of furniture": "chair desk sofa lamp mattress mirror".split(),
    "a job": "teacher doctor baker farmer pilot nurse lawyer painter".split(),
}

DEFINITIONS = {
    "a dataset": "a collection of examples that a model can learn from",
    "a model": "a program that has learned from examples and can answer new questions",
    "fine-tuning": "training an existing model a little more on your own examples",
    "a token": "a piece of text, often a word or a part of a word",
    "a prompt": "the text that you give to a model",
    "an epoch": "one pass over all training examples",
    "a batch": "a group of examples that is processed together",
    "the learning rate": "a number that says how big each training step is",
    "the loss": "a number that says how far the model is from the wanted answers",
    "LoRA": "a way to fine-tune a model by training only small added matrices",
    "an adapter": "a small set of weights that is added to a base model",
    "a checkpoint": "a saved state of a training run",
    "overfitting": "learning the training examples by heart instead of the rule behind them",
    "evaluation": "measuring how good the answers of a model are",
    "machine learning": "a way to let computers learn rules from examples",
    "a neural network": "a model made of many simple connected units",
    "a tokenizer": "a program that splits text into tokens",
    "SQL": "a language for asking questions about tables",
    "a database": "a place where data is stored in an ordered way",
    "a table": "data arranged in rows and columns",
    "a column": "one kind of value in a table, such as a price or a name",
    "a row": "one record in a table",
    "an API": "a way for programs to talk to each other",
    "a server": "a computer or program that answers requests of others",
    "a password": "a secret word that protects an account",
    "an invoice": "a list of goods or services with the price to pay",
    "a warranty": "a promise to repair or replace a product for some time",
    "a refund": "money that is paid back to a customer",
    "a discount": "a reduction of the price",
    "a subscription": "an agreement to pay regularly for a service",
    "a ticket": "a message of a customer that waits for an answer",
    "a river": "water that flows through land to a sea or a lake",
    "a mountain": "a very high piece of land",
    "rain": "water that falls from clouds",
    "the sun": "the star in the middle of our solar system",
    "the moon": "the round body that moves around the earth",
    "a library": "a place where you can read and borrow books",
    "a hospital": "a place where ill people are treated",
    "a school": "a place where children learn",
    "a year": "twelve months",
    "a week": "seven days",
    "an hour": "sixty minutes",
}

WHO = (
    "I am Luthier's starter model, a very small language model that you can fine-tune on your own data.",
    "I'm the starter model of Luthier. I am tiny, so train me on your own examples to make me useful.",
)
CAN = (
    "I can answer very simple questions, copy and extract text, and turn questions about a table into SQL. "
    "Fine-tune me to do more.",
    "I am good at small, narrow tasks. Give me your own examples and I can learn them in a minute.",
)
HELLO = (
    "Hello! How can I help you today?",
    "Hi there! What can I do for you?",
    "Hello! What would you like to know?",
)
THANKS = ("You're welcome! Let me know if you need anything else.", "Happy to help!", "You're welcome!")
UNKNOWN_ANSWERS = (
    "I do not know that. I am a small starter model; fine-tune me on your own data to teach me.",
    "Sorry, I have not learned that. I am only a tiny starter model.",
)

# Each entry: what people say, and what the model answers; the first answer is the usual one.
SMALL_TALK: tuple[tuple[tuple[str, ...], tuple[str, ...]], ...] = (
    (
        (
            "Hi",
            "Hello",
            "Hey",
            "Good morning",
            "Hello there",
            "Hi there",
            "Good evening",
            "Hi!",
            "Hello!",
            "Hey there!",
        ),
        HELLO,
    ),
    (
        (
            "Thanks",
            "Thank you",
            "Thanks a lot",
            "Great, thank you",
            "Perfect, thanks!",
            "Thank you very much!",
        ),
        THANKS,
    ),
    (
        (
            "Who are you?",
            "What are you?",
            "What is your name?",
            "Who made you?",
            "Which model are you?",
            "What model is this?",
        ),
        WHO,
    ),
    (
        ("Are you a human?", "Are you a robot?", "Are you ChatGPT?"),
        ("No, I am Luthier's starter model, a very small language model.",),
    ),
    (
        (
            "What can you do?",
            "How can you help me?",
            "Help",
            "Help me",
            "What do you know?",
            "What are you good at?",
        ),
        CAN,
    ),
    (
        ("How are you?", "How are you doing?", "How is it going?", "How do you do?"),
        ("I'm doing well, thank you! How can I help you?",),
    ),
    (
        ("Bye", "Goodbye", "See you later", "That is all", "Good night"),
        ("Goodbye! Have a nice day.", "See you later!"),
    ),
    (
        ("Test", "test", "testing", "Is this working?", "Are you there?"),
        ("Yes, I am here. How can I help you?",),
    ),
    (
        ("Tell me a joke", "Tell me something funny", "Do you know a joke?"),
        ("Why did the model go to school? To improve its training.",),
    ),
    (
        ("What is Luthier?", "Tell me about Luthier", "What is this place?"),
        ("Luthier is a workshop where your data becomes models that you can call.",),
    ),
    (
        ("How do I train you?", "How can I fine-tune you?", "How do I make you better?"),
        ("Upload examples as a dataset, start a fine-tuning job and choose me as the base model.",),
    ),
    (
        ("Ok", "Okay", "I see", "Good", "Great", "Nice"),
        ("Good! Is there anything else I can help you with?",),
    ),
    (
        ("Can you help me?", "I need help", "I have a question", "Can I ask you something?"),
        ("Of course! What would you like to know?",),
    ),
    (("Yes", "Yes please", "No", "No thanks"), ("All right. Let me know what I can do for you.",)),
)

UNKNOWN = (
    "Who won the world cup in 1998?",
    "What is the weather in {} today?",
    "Write a poem about a {}",
    "Write a story about a {}",
    "Tell me a story about {}",
    "Who is the president of the United States?",
    "What happened in 1945?",
    "Who wrote Hamlet?",
    "Write a Python function that sorts a list",
    "Explain quantum physics",
    "What do you think about {}?",
    "Translate this into French: I like my {}",
    "How do I cook a {}?",
    "Why is the sky blue?",
    "What is the meaning of life?",
    "Give me ten ideas for a {}",
    "What is the news today?",
    "How far is it to {}?",
    "Should I buy a {}?",
    "Write an essay about {}",
)
