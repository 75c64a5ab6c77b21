"""Random models of published shapes as GGUF files, for timing llama.cpp: weights do not matter for speed."""

import numpy as np

SHAPES = {
    "gpt2-124m": dict(arch="gpt2", layers=12, width=768, mlp=3072, heads=12, kv_heads=12, vocab=50257, context=1024),
    "stories260k": dict(arch="llama", layers=5, width=64, mlp=172, heads=8, kv_heads=4, vocab=512, context=512),
    "llama-shakespeare": dict(arch="llama", layers=5, width=256, mlp=768, heads=8, kv_heads=2, vocab=2048, context=256),
    "llama-1b": dict(arch="llama", layers=22, width=2048, mlp=5632, heads=32, kv_heads=4, vocab=32000, context=4096),
}


class Weights:
    """Uniform weights of deviation 0.02, made quickly."""

    def __init__(self):
        self.random = np.random.default_rng(42)

    def matrix(self, rows, columns):
        return ((self.random.random((rows, columns), dtype=np.float32) - 0.5) * 0.07).astype(np.float16)

    def vector(self, n, value):
        return np.full(n, value, dtype=np.float32)


def add_metadata(writer, s):
    writer.add_context_length(s["context"])
    writer.add_embedding_length(s["width"])
    writer.add_block_count(s["layers"])
    writer.add_feed_forward_length(s["mlp"])
    writer.add_head_count(s["heads"])
    writer.add_head_count_kv(s["kv_heads"])
    writer.add_vocab_size(s["vocab"])
    if s["arch"] == "gpt2":
        writer.add_layer_norm_eps(1e-5)
    else:
        writer.add_layer_norm_rms_eps(1e-5)
        writer.add_rope_dimension_count(s["width"] // s["heads"])
    writer.add_tokenizer_model("no_vocab")


def add_gpt2(writer, s):
    w, width = Weights(), s["width"]
    writer.add_tensor("token_embd.weight", w.matrix(s["vocab"], width))
    writer.add_tensor("position_embd.weight", w.matrix(s["context"], width).astype(np.float32))
    norms = ["output_norm"]
    for i in range(s["layers"]):
        norms += [f"blk.{i}.attn_norm", f"blk.{i}.ffn_norm"]
        for name, n, k in [("attn_qkv", 3 * width, width), ("attn_output", width, width),
                           ("ffn_up", s["mlp"], width), ("ffn_down", width, s["mlp"])]:
            writer.add_tensor(f"blk.{i}.{name}.weight", w.matrix(n, k))
            writer.add_tensor(f"blk.{i}.{name}.bias", w.vector(n, 0))
    for name in norms:
        writer.add_tensor(f"{name}.weight", w.vector(width, 1))
        writer.add_tensor(f"{name}.bias", w.vector(width, 0))


def add_llama(writer, s):
    w, width = Weights(), s["width"]
    kv = width // s["heads"] * s["kv_heads"]
    writer.add_tensor("token_embd.weight", w.matrix(s["vocab"], width))
    writer.add_tensor("output.weight", w.matrix(s["vocab"], width))
    writer.add_tensor("output_norm.weight", w.vector(width, 1))
    for i in range(s["layers"]):
        for name, n, k in [("attn_q", width, width), ("attn_k", kv, width), ("attn_v", kv, width),
                           ("attn_output", width, width), ("ffn_gate", s["mlp"], width),
                           ("ffn_up", s["mlp"], width), ("ffn_down", width, s["mlp"])]:
            writer.add_tensor(f"blk.{i}.{name}.weight", w.matrix(n, k))
        for name in ["attn_norm", "ffn_norm"]:
            writer.add_tensor(f"blk.{i}.{name}.weight", w.vector(width, 1))


def write_gguf(shape, path):
    import gguf

    s = SHAPES[shape]
    writer = gguf.GGUFWriter(path, s["arch"])
    add_metadata(writer, s)
    add_gpt2(writer, s) if s["arch"] == "gpt2" else add_llama(writer, s)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
