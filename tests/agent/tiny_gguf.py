"""A tiny Llama from ``tiny_llm.py`` as a GGUF file, the format that llama.cpp's server loads."""

from __future__ import annotations

import json
from pathlib import Path


def save_gguf(folder: Path, path: Path) -> None:
    """Writes the model and the tokenizer that transformers saved in ``folder`` as one GGUF file in float32."""
    import gguf
    from transformers import LlamaForCausalLM

    model = LlamaForCausalLM.from_pretrained(folder)
    config, weights = model.config, {name: value.numpy() for name, value in model.state_dict().items()}
    bpe = json.loads((folder / "tokenizer.json").read_text())["model"]
    tokens = sorted(bpe["vocab"], key=bpe["vocab"].get)

    writer = gguf.GGUFWriter(path, "llama")
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_rope_dimension_count(config.hidden_size // config.num_attention_heads)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_vocab_size(config.vocab_size)

    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(tokens)
    special = {"<s>", "</s>"}
    writer.add_token_types([gguf.TokenType.CONTROL if token in special else gguf.TokenType.NORMAL for token in tokens])
    writer.add_token_merges([pair if isinstance(pair, str) else " ".join(pair) for pair in bpe["merges"]])
    writer.add_bos_token_id(config.bos_token_id)
    writer.add_eos_token_id(config.eos_token_id)
    writer.add_chat_template((folder / "chat_template.jinja").read_text())

    def rotated(weight):
        """Rows of each head with the halves that rotate together side by side, as llama.cpp wants them."""
        heads, half = config.num_attention_heads, config.hidden_size // config.num_attention_heads // 2
        return weight.reshape(heads, 2, half, -1).swapaxes(1, 2).reshape(weight.shape)

    writer.add_tensor("token_embd.weight", weights["model.embed_tokens.weight"])
    writer.add_tensor("output_norm.weight", weights["model.norm.weight"])
    writer.add_tensor("output.weight", weights["lm_head.weight"])
    for layer in range(config.num_hidden_layers):
        ours, theirs = f"model.layers.{layer}", f"blk.{layer}"
        for name, written in (("q", "attn_q"), ("k", "attn_k")):
            writer.add_tensor(f"{theirs}.{written}.weight", rotated(weights[f"{ours}.self_attn.{name}_proj.weight"]))
        for name, written in (
            ("input_layernorm", "attn_norm"),
            ("self_attn.v_proj", "attn_v"),
            ("self_attn.o_proj", "attn_output"),
            ("post_attention_layernorm", "ffn_norm"),
            ("mlp.gate_proj", "ffn_gate"),
            ("mlp.up_proj", "ffn_up"),
            ("mlp.down_proj", "ffn_down"),
        ):
            writer.add_tensor(f"{theirs}.{written}.weight", weights[f"{ours}.{name}.weight"])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
