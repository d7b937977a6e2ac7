"""A tiny random model of each architecture that behaves in its own way, with the tokenizer of another one.

Its weights are such that 16 bits hold them exactly: what is written in F16 computes the same numbers.
"""

import shutil
from pathlib import Path
from typing import Any

VOCABULARY, CONTEXT, WINDOW = 261, 128, 16
LIKE_LLAMA = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": CONTEXT,
}
LIKE_GPT = {"n_embd": 32, "n_layer": 2, "n_head": 4}
LIKE_BERT = {
    name: LIKE_LLAMA[name]
    for name in ("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads")
}
SCALED = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
          "original_max_position_embeddings": 64, "rope_theta": 500_000.0}  # fmt: skip
# name: the configuration's class, the model's, and what they are made with
KINDS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "llama": ("LlamaConfig", "LlamaForCausalLM", LIKE_LLAMA),
    "llama tied": ("LlamaConfig", "LlamaForCausalLM", LIKE_LLAMA | {"tie_word_embeddings": True}),
    "llama scaled": ("LlamaConfig", "LlamaForCausalLM", LIKE_LLAMA | {"rope_parameters": SCALED}),
    "mistral": ("MistralConfig", "MistralForCausalLM", LIKE_LLAMA | {"sliding_window": None}),
    "mistral window": ("MistralConfig", "MistralForCausalLM", LIKE_LLAMA | {"sliding_window": WINDOW}),
    "mistral wide window": ("MistralConfig", "MistralForCausalLM", LIKE_LLAMA | {"sliding_window": CONTEXT}),
    "qwen2": ("Qwen2Config", "Qwen2ForCausalLM", LIKE_LLAMA),
    "qwen2 window": (
        "Qwen2Config",
        "Qwen2ForCausalLM",
        LIKE_LLAMA | {"use_sliding_window": True, "sliding_window": WINDOW, "max_window_layers": 1},
    ),
    "qwen3": ("Qwen3Config", "Qwen3ForCausalLM", LIKE_LLAMA | {"head_dim": 16, "tie_word_embeddings": True}),
    "gemma2": (
        "Gemma2Config",
        "Gemma2ForCausalLM",
        LIKE_LLAMA | {"head_dim": 8, "sliding_window": WINDOW, "query_pre_attn_scalar": 8},
    ),
    "mixtral": ("MixtralConfig", "MixtralForCausalLM", LIKE_LLAMA | {"num_local_experts": 4}),
    "phi3": ("Phi3Config", "Phi3ForCausalLM", LIKE_LLAMA | {"pad_token_id": 0}),
    "gpt2": ("GPT2Config", "GPT2LMHeadModel", LIKE_GPT | {"n_positions": CONTEXT}),
    "gpt neox": ("GPTNeoXConfig", "GPTNeoXForCausalLM", LIKE_BERT | {"max_position_embeddings": CONTEXT}),
    "opt": (
        "OPTConfig",
        "OPTForCausalLM",
        {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "ffn_dim": 64,
         "word_embed_proj_dim": 32, "max_position_embeddings": CONTEXT},
    ),
    "bloom": ("BloomConfig", "BloomForCausalLM", {"hidden_size": 32, "n_layer": 2, "n_head": 4}),
    "mamba": ("MambaConfig", "MambaForCausalLM", {"hidden_size": 32, "num_hidden_layers": 2}),
    "bert": ("BertConfig", "BertLMHeadModel", LIKE_BERT),
    "bert as a decoder": ("BertConfig", "BertLMHeadModel", LIKE_BERT | {"is_decoder": True}),
    "bert with masks": ("BertConfig", "BertForMaskedLM", LIKE_BERT),
    "llama that classifies": ("LlamaConfig", "LlamaForSequenceClassification", LIKE_LLAMA),
    "t5": (
        "T5Config",
        "T5ForConditionalGeneration",
        {"d_model": 32, "d_ff": 64, "num_layers": 2, "num_heads": 4, "d_kv": 8},
    ),
    "bart": (
        "BartConfig",
        "BartForConditionalGeneration",
        {"d_model": 32, "encoder_layers": 1, "decoder_layers": 1, "encoder_ffn_dim": 64,
         "decoder_ffn_dim": 64, "encoder_attention_heads": 4, "decoder_attention_heads": 4},
    ),
}  # fmt: skip
NOT_CAUSAL = {"bert", "bert with masks", "llama that classifies", "t5", "bart"}
LEAKING = {"bloom", "mamba", "opt", "bert as a decoder"}  # when rows are packed


def write(kind: str, folder: Path, tokenizer: Path) -> Path:
    """The model with the tokenizer of another folder; ``folder`` itself."""
    import torch
    import transformers

    config_class, model_class, size = KINDS[kind]
    ids = {"bos_token_id": 1, "eos_token_id": 2}
    config = getattr(transformers, config_class)(vocab_size=VOCABULARY, **ids | size)
    torch.manual_seed(3)
    model = getattr(transformers, model_class)(config)
    with torch.no_grad():
        for name, weights in model.named_parameters():
            if name.endswith("bias"):
                torch.nn.init.normal_(weights, std=0.1)  # zeros would look right anywhere
            weights.copy_(weights.half())
    model.save_pretrained(folder)
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        shutil.copy(tokenizer / name, folder)
    return folder
