"""Writes models/NAME/ and models/NAME.json: small random models of every architecture, made from the
config classes of Hugging Face transformers, and what transformers computes for them in float32.

usage: make_architectures.py [NAME ...]        (needs torch and transformers; run in this folder)

NAME.json: `ids` a random prompt, `logits` of its last position, `greedy` 24 tokens behind it (the
highest logit each time), `mean_nll` the mean loss over the prompt's predicted tokens. The weights
are drawn anew, larger than the classes' own, so that attention and norms make a difference.
"""
import json
import pathlib
import shutil
import sys

import torch
import transformers as tf

HERE = pathlib.Path(__file__).parent / "models"
VOCAB, WIDTH, PROMPT, GREEDY = 48, 16, 20, 24

SHAPE = dict(vocab_size=VOCAB, hidden_size=WIDTH, intermediate_size=24, num_hidden_layers=2, num_attention_heads=4,
             num_key_value_heads=2, max_position_embeddings=64, bos_token_id=0, eos_token_id=0, pad_token_id=None)
GPT2 = dict(vocab_size=VOCAB, n_embd=WIDTH, n_layer=2, n_head=4, n_positions=64, bos_token_id=0, eos_token_id=0)
OPT = dict(vocab_size=VOCAB, hidden_size=WIDTH, word_embed_proj_dim=WIDTH, ffn_dim=24, num_hidden_layers=2,
           num_attention_heads=4, max_position_embeddings=64, bos_token_id=0, eos_token_id=0, pad_token_id=1)


def rope(kind, **more):
    return dict(rope_parameters=dict(rope_type=kind, rope_theta=1000.0, **more))


def llama(**more):
    return tf.LlamaConfig(**{**SHAPE, **more})


LLAMA3 = rope("llama3", factor=4.0, low_freq_factor=1.0, high_freq_factor=4.0, original_max_position_embeddings=32)
YARN = rope("yarn", factor=4.0, original_max_position_embeddings=32)
MODELS = {
    "gpt2": tf.GPT2Config(**GPT2),
    "gpt2-bare": tf.GPT2Config(**GPT2, n_inner=24),
    "llama": llama(),
    "llama-tied": llama(tie_word_embeddings=True, num_key_value_heads=1),
    "llama-biases": llama(attention_bias=True, mlp_bias=True, head_dim=6),
    "llama-linear": llama(head_dim=16, **rope("linear", factor=4.0)),
    "llama-llama3": llama(head_dim=16, **LLAMA3),
    "llama-yarn": llama(head_dim=16, **YARN),
    "llama-bf16": llama(),
    "llama-f16": llama(),
    "llama-sharded": llama(),
    "mistral": tf.MistralConfig(**SHAPE, sliding_window=5),
    "mistral-full": tf.MistralConfig(**SHAPE, sliding_window=None),
    "qwen2": tf.Qwen2Config(**SHAPE, tie_word_embeddings=True),
    "qwen2-window": tf.Qwen2Config(**SHAPE, use_sliding_window=True, sliding_window=5, max_window_layers=1),
    "qwen3": tf.Qwen3Config(**SHAPE, head_dim=12),
    "opt": tf.OPTConfig(**OPT),
    "opt-bare": tf.OPTConfig(**OPT),
}
DTYPES = {"llama-bf16": torch.bfloat16, "llama-f16": torch.float16}


def draw(model):
    for name, p in model.named_parameters():
        norm = "norm" in name or "ln_" in name
        p.data.normal_(1.0 if norm and name.endswith("weight") else 0.0, 0.2 if p.dim() == 1 else 0.3)


def save(name, model):
    folder = HERE / name
    shutil.rmtree(folder, ignore_errors=True)
    inner = model.base_model if name.endswith("-bare") else model
    inner.save_pretrained(folder, **(dict(max_shard_size="16KB") if name.endswith("-sharded") else {}))
    for extra in folder.glob("generation_config.json"):
        extra.unlink()


def results(model):
    ids = torch.randint(1, VOCAB, (1, PROMPT))
    logits = model(ids).logits[0, -1]
    now = ids
    for _ in range(GREEDY):
        now = torch.cat([now, model(now).logits[:, -1].argmax(-1, keepdim=True)], 1)
    nll = model(ids, labels=ids).loss.item()
    return dict(ids=ids[0].tolist(), logits=[round(float(v), 6) for v in logits], greedy=now[0, PROMPT:].tolist(),
                mean_nll=nll)


def main():
    for i, (name, config) in enumerate(MODELS.items()):
        if sys.argv[1:] and name not in sys.argv[1:]:
            continue
        torch.manual_seed(100 + i)
        with torch.no_grad():
            config._attn_implementation = "eager"
            model = tf.AutoModelForCausalLM.from_config(config).eval()
            draw(model)
            model.to(DTYPES.get(name, torch.float32))
            save(name, model)
            out = results(model.float())
        out["transformers"] = tf.__version__
        (HERE / f"{name}.json").write_text(json.dumps(out) + "\n")
        print(name, out["mean_nll"], out["greedy"][:8])


main()
