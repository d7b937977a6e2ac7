"""The bundled starter model: a tiny Llama that makes the whole product work without a download.

`text.py` writes the text it learns from, `pretrain.py` trains it, `evaluate.py` measures it, `weights/` holds the result.
Nothing here is imported by the web process.
"""
