"""Are models of every family, with other sizes and options than those of ../shared, what transformers makes of them?

    python tests/interop/families.py NIBBLE [WORK] [--variants N] [FAMILY ...]

NIBBLE is the command. Of each family of ../shared/data/archs that nibble opens, N (10) random variants are drawn: other
widths, heads, layers and options of its config. transformers makes a model of random weights of each and saves it; its
loss on a text and its greedy tokens, in float32, are compared with nibble's.

Ends with 1 where a loss differs by more than 1e-4 (1e-5 of it) or a greedy token does, 0 otherwise.
"""
import argparse
import json
import pathlib
import random
import shutil
import subprocess
import sys

try:
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer
except ImportError as missing:
    print(f"families: skipped: {missing.name} is not installed")
    sys.exit(0)

ARCHS = pathlib.Path("../shared/data/archs")
MORE_TOKENS = 24
TEXT_IDS = 200

# Keys that may be drawn anew, and what of: only those that the family's config has.
COMMON = {
    "hidden_size": [32, 48, 64, 96],
    "intermediate_size": [80, 128, 176],
    "num_hidden_layers": [2, 3, 4],
    "rms_norm_eps": [1e-5, 1e-6],
    "sliding_window": [16, 33],
    "num_experts": [4, 6, 8],
    "num_local_experts": [4, 6, 8],
    "moe_intermediate_size": [24, 48],
    "shared_expert_intermediate_size": [24, 56],
    "norm_topk_prob": [True, False],
    "num_experts_per_tok": [1, 2, 3],
    "routed_scaling_factor": [1.0, 1.7],
    "attention_bias": [True, False],
    "tie_word_embeddings": [True, False],
    "residual_multiplier": [0.3, 1.0],
    "attention_multiplier": [0.05, 0.2],
    "embedding_multiplier": [1.0, 5.0],
    "logits_scaling": [1.0, 3.0],
    "logit_scale": [0.2, 1.0],
    "use_bias": [True, False],
    "use_qkv_bias": [True, False],
    "qkv_bias": [True, False],
    "use_parallel_residual": [True, False],
    "linear_conv_kernel_dim": [2, 3, 4],
    "linear_key_head_dim": [8, 16, 20],
    "linear_value_head_dim": [8, 24, 36],
    "use_expert_bias": [True, False],
    "query_pre_attn_scalar": [8, 40],
    "first_k_dense_replace": [0, 1, 2],
    "n_shared_experts": [1, 2],
    "n_routed_experts": [4, 8],
    "moe_num_shared_experts": [1, 2],
    "conv_bias": [True, False],
    "kv_lora_rank": [12, 16, 40],
    "qk_nope_head_dim": [8, 16, 20],
    "qk_rope_head_dim": [4, 8, 12],
    "v_head_dim": [8, 16, 28],
    "rope_interleave": [True, False],
}
# What transformers does not do, or nibble says that it does not.
FIXED = {
    "ernie4_5_moe": {"use_bias"},
    "glm4_moe": {"n_routed_experts"},
    "mixtral": set(), "cohere2": set(),
    "deepseek_v2": {"norm_topk_prob"},
}
# Keys and values made of a few numbers: every head has its own.
LATENT = {"deepseek_v2", "deepseek_v3", "glm4_moe_lite"}


# Mamba2 layers of a width, under the family's names.
MAMBA = {
    "granitemoehybrid": ("mamba_n_heads", "mamba_d_head", "mamba_n_groups", "mamba_d_state", "mamba_d_conv",
                         "mamba_conv_bias"),
    "falcon_h1": ("mamba_n_heads", "mamba_d_head", "mamba_n_groups", "mamba_d_state", "mamba_d_conv",
                  "mamba_conv_bias"),
    "nemotron_h": ("mamba_num_heads", "mamba_head_dim", "n_groups", "ssm_state_size", "conv_kernel", "use_conv_bias"),
}


def draw_mamba(config, family, rng):
    heads, head_dim, groups, state, taps, bias = MAMBA[family]
    config[heads], config[groups] = rng.choice([(4, 1), (4, 2), (6, 3), (6, 2), (8, 8), (12, 4)])
    config[head_dim] = rng.choice([8, 12, 20])
    config[state], config[taps], config[bias] = rng.choice([8, 12, 33]), rng.choice([2, 3, 4]), rng.random() < 0.6
    config["tie_word_embeddings"] = rng.random() < 0.4
    if family == "nemotron_h":
        del config["time_step_limit"]  # not read
        config["tie_word_embeddings"] = False  # transformers does not tie them, whatever it says
        config["use_bias"], config["time_step_min"] = rng.random() < 0.4, rng.choice([0.001, 0.5])
        kinds = ["linear_attention", "mlp", "full_attention", "moe"]
        config["layers_block_type"] = kinds + [rng.choice(kinds) for _ in range(rng.randint(0, 3))]
        rng.shuffle(config["layers_block_type"])
        if rng.random() < 0.3:
            config["layers_block_type"] = [k for k in config["layers_block_type"] if k != "moe"]
            config["mlp_bias"] = True
        config["n_routed_experts"], config["n_group"] = rng.choice([(4, 1), (8, 2), (8, 4)])
        config["topk_group"] = rng.randint(1, config["n_group"])
        config["num_experts_per_tok"] = rng.choice([1, 2])
        config["moe_intermediate_size"] = rng.choice([24, 40])
        config["moe_shared_expert_intermediate_size"] = rng.choice([24, 56])
        config["routed_scaling_factor"], config["norm_topk_prob"] = rng.choice([1.0, 2.5]), rng.random() < 0.5
        return
    config["time_step_limit"] = rng.choice([[0.0, 1e9], [0.3, 1.5], [0.1, 4.0]])
    if family == "granitemoehybrid":
        config["mamba_proj_bias"] = rng.random() < 0.5
        config["mamba_expand"] = rng.choice([1, 2])
        wide = config["mamba_expand"] * config["hidden_size"]
        config[heads], config[groups] = rng.choice([(4, 1), (4, 2), (8, 4), (8, 1)])
        config[head_dim] = rng.choice(["auto", wide // config[heads]])
        config["position_embedding_type"] = rng.choice(["rope", None])
        config["num_local_experts"] = rng.choice([0, 4, 6])
        config["layer_types"] = [rng.choice(["linear_attention", "full_attention"])
                                 for _ in range(config["num_hidden_layers"])]
        config["layer_types"][rng.randrange(config["num_hidden_layers"])] = "full_attention"  # transformers counts on it
        return
    config["mamba_d_ssm"] = config[heads] * config[head_dim]
    config["mamba_rms_norm"], config["mamba_norm_before_gate"] = rng.random() < 0.7, rng.random() < 0.5
    config["projectors_bias"], config["mlp_bias"] = rng.random() < 0.4, rng.random() < 0.4
    config["mamba_proj_bias"], config["attention_bias"] = rng.random() < 0.3, rng.random() < 0.3
    scale = lambda: rng.choice([0.35, 0.7, 1.0, 1.3])
    for key in ("lm_head_multiplier", "embedding_multiplier", "key_multiplier", "attention_out_multiplier",
                "ssm_out_multiplier"):
        config[key] = scale()
    config["attention_in_multiplier"] = 1.0 if config["attention_bias"] else scale()
    config["ssm_in_multiplier"] = 1.0 if config["mamba_proj_bias"] else scale()
    config["mlp_multipliers"], config["ssm_multipliers"] = [scale(), scale()], [scale() for _ in range(5)]


def draw_latent(config, family, rng):
    config["num_key_value_heads"] = config["num_attention_heads"]
    if family == "deepseek_v2":
        config["hidden_size"] = config["num_attention_heads"] * rng.choice([8, 16])
    for key in ("head_dim", "qk_head_dim"):
        config.pop(key, None)
    config["q_lora_rank"] = rng.choice([None, 12, 24])
    experts = config["n_routed_experts"]
    groups = rng.choice([1, 2, 4] if experts >= 8 else [1, 2])
    taken = rng.choice(range((config["num_experts_per_tok"] * groups - 1) // experts + 1, groups + 1))
    if family == "deepseek_v2":
        config["topk_method"] = rng.choice(["greedy", "group_limited_greedy"])
        config["n_shared_experts"] = rng.choice([1, 2])
    config["n_group"], config["topk_group"] = groups, taken
    if rng.random() < 0.6:
        rope = {"rope_type": "yarn", "rope_theta": 10000.0, "factor": rng.choice([2.0, 8.0]),
                "original_max_position_embeddings": 64}
        config["rope_parameters"] = dict(rope, **rng.choice([
            {}, {"mscale": 1.0, "mscale_all_dim": 1.0}, {"mscale": 0.707, "mscale_all_dim": 0.707},
            {"mscale": 1.0, "mscale_all_dim": 0.4}, {"mscale_all_dim": 0.8}]))


def draw_global_heads(config, heads, rng):
    """Gemma 4: heads of layers that see all positions, in the older spelling."""
    del config["per_layer_config"]
    config["layer_types"][-1] = "full_attention"
    config["global_head_dim"] = rng.choice([16, 24, 40])
    config["attention_k_eq_v"] = rng.choice([True, False])
    config["num_global_key_value_heads"] = rng.choice([1, heads])
    config["final_logit_softcapping"] = rng.choice([None, 20.0])
    config["top_k_experts"] = rng.choice([1, 2, 3])


def draw(config, family, rng):
    if config.get("head_dim", 0) is None:
        del config["head_dim"]
    for key, choices in COMMON.items():
        if key in FIXED.get(family, ()) or config.get(key) is None:
            continue
        config[key] = rng.choice(choices)
    heads = rng.choice([2, 4, 6])
    kv = rng.choice([n for n in (1, 2, heads) if heads % n == 0])
    config["num_attention_heads"] = heads
    if "num_key_value_heads" in config:
        config["num_key_value_heads"] = heads if family == "gpt_neox" else kv
    if config.get("head_dim") is not None:
        config["head_dim"] = rng.choice([8, 16, 24, 32])
    else:
        config["hidden_size"] = heads * rng.choice([8, 16, 24])
    if "linear_num_key_heads" in config:
        config["linear_num_key_heads"] = rng.choice([1, 2, 3])
        config["linear_num_value_heads"] = config["linear_num_key_heads"] * rng.choice([1, 2])
    layers = config.get("num_hidden_layers")
    for key in ("layer_types", "no_rope_layers", "mlp_layer_types"):
        if isinstance(config.get(key), list):
            config[key] = [rng.choice(sorted(set(config[key]), key=str)) for _ in range(layers)]
    if "layer_types" in config and "full_attention" not in config["layer_types"]:
        config["layer_types"][-1] = "full_attention"
    if family == "phi3" and rng.random() < 0.6:
        half = config["hidden_size"] // heads // 2
        config["original_max_position_embeddings"] = rng.choice([100, 512])
        config["rope_parameters"] = {"rope_type": "longrope", "rope_theta": 10000.0, "partial_rotary_factor": 1.0,
                                     "short_factor": [rng.uniform(1, 2) for _ in range(half)],
                                     "long_factor": [rng.uniform(2, 4) for _ in range(half)]}
    rope = config.get("rope_parameters")
    if rope and rope.get("rope_type") == "default" and "partial_rotary_factor" not in rope and rng.random() < 0.5:
        factor = rng.choice([2.0, 4.0])
        config["rope_parameters"] = dict(rope, **rng.choice([
            {"rope_type": "linear", "factor": factor},
            {"rope_type": "yarn", "factor": factor, "original_max_position_embeddings": 256},
            {"rope_type": "llama3", "factor": factor, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
             "original_max_position_embeddings": 256}]))
    if family in MAMBA:
        draw_mamba(config, family, rng)
    if family in LATENT:
        draw_latent(config, family, rng)
    if "per_layer_config" in config:
        draw_global_heads(config, heads, rng)
    return config


def make(family, seed, folder):
    rng = random.Random(f"{family} {seed}")
    config = json.loads((ARCHS / family / "config.json").read_text())
    drawn = draw(config, family, rng)
    torch.manual_seed(seed)
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(**drawn)).float().eval()
    with torch.no_grad():
        for name, p in model.named_parameters():
            if p.dim() == 1:
                p.add_(torch.randn_like(p) * 0.2)
            else:
                p.copy_(torch.randn_like(p) * rng.choice([0.1, 0.15]))
        for name, b in model.named_buffers():
            if name.endswith("e_score_correction_bias") or name.endswith("expert_bias"):
                b.copy_(torch.randn_like(b) * 0.2)
    shutil.rmtree(folder, ignore_errors=True)
    model.save_pretrained(folder)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(ARCHS / family / name, folder / name)
    # As it is stored: what the one above computed with may still be in another type (Gemma's scale).
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval(), drawn


def theirs(model, ids, prompt):
    with torch.no_grad():
        logits = model(torch.tensor([ids])).logits[0].double()
        loss = torch.nn.functional.cross_entropy(logits[:-1], torch.tensor(ids[1:])).item()
        greedy = list(prompt)
        for _ in range(MORE_TOKENS):
            greedy.append(int(model(torch.tensor([greedy])).logits[0, -1].argmax()))
    return loss, greedy[len(prompt):]


def run(*command):
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(done.stderr.strip().splitlines()[-1] if done.stderr.strip() else f"exit {done.returncode}")
    return json.loads(done.stdout)


def is_beginning(ids, greedy, eos):
    n = len(ids)
    return ids == greedy[:n] and (n == len(greedy) or greedy[n] == eos)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("nibble")
    parser.add_argument("work", nargs="?", default="build/interop")
    parser.add_argument("--variants", type=int, default=10)
    parser.add_argument("--families", nargs="*")
    args = parser.parse_args()
    if not ARCHS.exists():
        print(f"families: skipped: no {ARCHS}")
        return 0
    work = pathlib.Path(args.work) / "families"
    work.mkdir(parents=True, exist_ok=True)
    failed = 0
    for family in args.families or sorted(p.name for p in ARCHS.iterdir() if p.is_dir()):
        known = json.loads((ARCHS / f"{family}.json").read_text())
        probe = subprocess.run([args.nibble, "inspect", ARCHS / family], capture_output=True, text=True)
        if probe.returncode:
            print(f"{family}: skipped: {probe.stderr.strip().splitlines()[-1][:160]}")
            continue
        tokenizer = AutoTokenizer.from_pretrained(ARCHS / family)
        ids = tokenizer(known["text"], add_special_tokens=False)["input_ids"][:TEXT_IDS]
        text = work / "text.txt"
        text.write_text(tokenizer.decode(ids))
        worst, wrong = 0.0, 0
        for seed in range(args.variants):
            folder = work / family
            try:
                model, drawn = make(family, seed, folder)
            except Exception as e:  # transformers refuses what was drawn
                print(f"{family} {seed}: transformers: {str(e).splitlines()[0][:150]}")
                continue
            ids_now = tokenizer(text.read_text(), add_special_tokens=False)["input_ids"]
            loss, greedy = theirs(model, ids_now, ids_now[:12])
            try:
                found = run(args.nibble, "eval", folder, "--text", text, "--window", 400, "--json")
                prompt = tokenizer.decode(ids_now[:12])
                if tokenizer(prompt, add_special_tokens=False)["input_ids"] != ids_now[:12]:
                    raise RuntimeError("the prompt does not come back from its ids")
                out = run(args.nibble, "generate", folder, "--prompt", prompt, "--max-new-tokens", MORE_TOKENS,
                          "--temperature", 0, "--json")
            except RuntimeError as e:
                failed += 1
                print(f"{family} {seed}: {e} of {json.dumps(drawn)}")
                continue
            gap = abs(found["mean_nll"] - loss)
            worst = max(worst, gap)
            if gap > max(1e-4, 1e-5 * loss) or found["tokens"] != len(ids_now) - 1:
                wrong += 1
                print(f"{family} {seed}: loss {found['mean_nll']:.6f}, transformers {loss:.6f}, of {json.dumps(drawn)}")
            elif not is_beginning(out["ids"], greedy, drawn.get("eos_token_id")):
                wrong += 1
                print(f"{family} {seed}: greedy text differs, of {json.dumps(drawn)}")
        failed += wrong
        print(f"{family}: {args.variants} variants, losses within {worst:.1e}, {wrong} wrong")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
