"""Making exports of model versions: writing them, loading them again, comparing answers.

Runs only in ``core.exports.worker``.

torch, transformers, peft and gguf are imported inside functions. Who may export what, and the rows, are
``core.exports.asking``'.

- ``order``: what is to be made
- ``prompts``: the ten questions
- ``answers``: what the registry's version answers, and what the export answers
- ``folders``: adapters and merged weights as Hugging Face folders
- ``gguf_file`` ``gguf_vocabulary``: Llama-like models as GGUF, by the ``gguf`` package alone
- ``llama_cpp``: everything a configured llama.cpp does
- ``ollama``: a chat template in Ollama's words
- ``card`` ``packing`` ``hub``: the README, the archive, the push
- ``whole``: all of it in order
"""
