"""Chat templates: how messages become the tokens that a model reads, in training and in answering alike.

What belongs here: writing a conversation in the template's words (``writing``), which of it is learned
(``learning``), which token ends an answer (``ChatTemplate.ends``), and whether a template teaches what
will be asked for (``checking``). What does not: what a row is (``core.formats``), how long it may be
(``core.training.examples``), what is left out of a long chat (``core.inference.prompts``).

Three rules hold for every template:

1. What stands in a message is text. A control token that somebody typed there (``<|end|>``) is tokenized as
   the characters that it has; only the template writes control tokens.
2. What is learned is what will be generated: an answer is learned behind the very tokens with which it will
   be asked for, from its first token to the one that ends it.
3. No token lies across the seam of prompt and answer, because none can when the answer is generated.

Imports transformers only where it is used; nothing here needs torch.
"""

from core.chat_templates.checking import TemplateFinding, check, sentences
from core.chat_templates.learning import TaughtSequence, conversation
from core.chat_templates.writing import ChatTemplate, end_tokens, ends_of_folder, seams, template_of

__all__ = [
    "ChatTemplate",
    "TaughtSequence",
    "TemplateFinding",
    "check",
    "conversation",
    "end_tokens",
    "ends_of_folder",
    "seams",
    "sentences",
    "template_of",
]
