"""The bundled starter model: a tiny Llama that makes the whole product work without a download.

`text.py` writes what it learns from, `pretrain.py` trains it, `evaluate.py` measures it, `weights/` holds the
result and its card. Nothing here is imported by the web process.
"""
