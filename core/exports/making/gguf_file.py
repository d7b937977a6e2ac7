"""A Llama-like model as one GGUF file, tensor by tensor:
https://github.com/ggml-org/ggml/blob/master/docs/gguf.md

Matrices become F16 or Q8_0, vectors stay float32. llama.cpp turns the rows of queries and keys in pairs of
neighbours where transformers turns halves, so for the architecture ``llama`` these rows change their order;
Qwen's stay as they are.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from core.exports.llama_like import Mapping, NotMapped, mapping_of, read_json
from core.exports.making import gguf_vocabulary as vocabulary
from core.exports.making.order import CannotExport, Order

Json = dict[str, Any]
TURNED = ("q_proj", "k_proj")
Q8_BLOCK = 32
EMBEDDINGS = "model.embed_tokens.weight"
LARGEST_F16 = 65504.0


def write_gguf(order: Order, source: Path, file: Path, tick: Callable[[float], None]) -> None:
    """``source``: a folder with the whole model. Raises CannotExport."""
    import gguf

    config = read_json(source / "config.json")
    try:
        mapping = mapping_of(source, order.tokenizer)
    except NotMapped as reason:
        raise CannotExport(str(reason)) from reason
    writer = gguf.GGUFWriter(file, mapping.architecture)
    _add_facts(writer, order, config, mapping)
    _add_vocabulary(writer, order.tokenizer, mapping, size=int(config["vocab_size"]))
    weights = list(_tensors(source, config, mapping, order.kind))
    for name, shape, kind, _ in weights:
        writer.add_tensor_info(name, *_stored_shape(shape, kind))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    for done, (_, _, kind, load) in enumerate(weights, start=1):
        writer.write_tensor_data(_encoded(load(), kind))
        tick(done / len(weights))
    writer.close()


def _add_facts(writer: Any, order: Order, config: Json, mapping: Mapping) -> None:
    import gguf

    heads = config["num_attention_heads"]
    width = config.get("head_dim") or config["hidden_size"] // heads
    rope = config.get("rope_parameters") or {}
    writer.add_name(f"{order.model_name} v{order.version}")
    writer.add_file_type(
        gguf.LlamaFileType.MOSTLY_Q8_0 if order.kind == "gguf-q8_0" else gguf.LlamaFileType.MOSTLY_F16
    )
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(heads)
    writer.add_head_count_kv(config.get("num_key_value_heads") or heads)
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_rope_freq_base(float(rope.get("rope_theta") or config.get("rope_theta") or 10000.0))
    writer.add_vocab_size(config["vocab_size"])
    if mapping.architecture == "llama":
        writer.add_rope_dimension_count(width)
    if config.get("head_dim"):
        writer.add_key_length(width)
        writer.add_value_length(width)


def _add_vocabulary(writer: Any, folder: Path, mapping: Mapping, *, size: int) -> None:
    import gguf

    tokens, types = vocabulary.tokens_of(folder, size)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(mapping.pre_tokenizer)
    writer.add_token_list(tokens)
    writer.add_token_types([gguf.TokenType[name] for name in types])
    writer.add_token_merges(vocabulary.merges_of(folder))
    for name, number in vocabulary.special_ids(folder).items():
        getattr(writer, f"add_{name}_token_id")(number)
    writer.add_add_bos_token(vocabulary.adds_bos(folder))
    writer.add_chat_template(vocabulary.template_of(folder))


def _tensors(
    source: Path, config: Json, mapping: Mapping, kind: str
) -> Iterator[tuple[str, tuple[int, ...], str, Callable[[], Any]]]:
    """Of every tensor its name in the file, its shape, how it is encoded, and what loads it."""
    import gguf
    from safetensors import safe_open

    architecture = next(key for key, name in gguf.MODEL_ARCH_NAMES.items() if name == mapping.architecture)
    names = gguf.get_tensor_name_map(architecture, config["num_hidden_layers"])
    heads = {
        "q_proj": config["num_attention_heads"],
        "k_proj": config.get("num_key_value_heads") or config["num_attention_heads"],
    }
    for file in sorted(source.glob("*.safetensors")):
        with safe_open(file, "pt") as opened:
            for key in opened.keys():  # noqa: SIM118, not a dict
                name = names.get_name(key, try_suffixes=(".weight", ".bias"))
                if name is None:
                    raise CannotExport(
                        f"The weights hold {key}, which has no place in a GGUF file of this architecture."
                    )
                if key == "lm_head.weight" and _is_embeddings(source, opened.get_tensor(key)):
                    continue
                shape = tuple(opened.get_slice(key).get_shape())
                turned = next(
                    (heads[part] for part in TURNED if part in key and mapping.architecture == "llama"), 0
                )
                yield name, shape, _encoding(shape, kind), _loader(file, key, turned)


def _is_embeddings(source: Path, head: Any) -> bool:
    """Whether the output layer is the embeddings once more, as readers take it to be when it is missing."""
    import torch
    from safetensors import safe_open

    for file in source.glob("*.safetensors"):
        with safe_open(file, "pt") as opened:
            if EMBEDDINGS in opened.keys():  # noqa: SIM118, not a dict
                return torch.equal(opened.get_tensor(EMBEDDINGS), head)
    return False


def _loader(file: Path, key: str, heads: int) -> Callable[[], Any]:
    def load() -> Any:
        import numpy as np
        from safetensors import safe_open

        with safe_open(file, "pt") as opened:
            values = opened.get_tensor(key).float().numpy()
        if heads:
            halves = values.reshape(heads, 2, values.shape[0] // heads // 2, *values.shape[1:])
            values = halves.swapaxes(1, 2).reshape(values.shape)
        return np.ascontiguousarray(values, dtype=np.float32)

    return load


def _encoding(shape: tuple[int, ...], kind: str) -> str:
    if len(shape) < 2:
        return "F32"
    return "Q8_0" if kind == "gguf-q8_0" and shape[-1] % Q8_BLOCK == 0 else "F16"


def _stored_shape(shape: tuple[int, ...], kind: str) -> tuple[Any, ...]:
    """What ``add_tensor_info`` wants: shape, type, bytes,
    and the encoding of a quantized tensor with its shape in bytes."""
    import gguf
    import numpy as np

    encoding = gguf.GGMLQuantizationType[kind]
    if kind == "Q8_0":
        in_bytes = gguf.quant_shape_to_byte_shape(shape, encoding)
        return in_bytes, np.dtype(np.uint8), int(np.prod(in_bytes)), encoding
    dtype = np.dtype(np.float32 if kind == "F32" else np.float16)
    return shape, dtype, int(np.prod(shape)) * dtype.itemsize


def _encoded(values: Any, kind: str) -> Any:
    import gguf
    import numpy as np

    if kind == "F16" and float(np.abs(values).max(initial=0.0)) > LARGEST_F16:
        raise CannotExport("A weight is larger than F16 can hold. Export it merged, or as Q8_0.")
    return gguf.quants.quantize(values, gguf.GGMLQuantizationType[kind])
