"""Where models of this server answer: a process of its own, the only serving code that imports torch.

``core.providers.local`` starts it and talks with it by lines; the web process imports nothing of it but
``inspection``. Exports are checked with the same code, so that both read and write text in the same way.

- ``server``: the process: takes requests, runs the models, sends text
- ``preparing``: what a request needs first, a model in memory and a prompt, in threads of its own
- ``prompts``: from a conversation to the tokens that fit the context
- ``turns``: which user is next
- ``loaded``: the models in its memory, with their adapters and tokenizers
- ``batch``: answers of one base that are written together
- ``rereading``: the same for models that keep no keys and values
- ``growing_cache``: the keys and values of what was read and written
- ``text``: from tokens to text that may be shown
- ``inspection``, ``check_model``: whether a folder is a model that can be trained and served, found out in
  another process

What belongs elsewhere: which model a name means (``core.models``), who is asked (``core.providers``).
"""
