"""Does ONNX Runtime compute, from the folders that nibble writes, what nibble and transformers compute?

    python tests/interop/onnx_runtime.py NIBBLE [WORK]

NIBBLE is the command. Two things are looked at:

- The small models of tests/golden/models, as f32: logits within 1e-4 of those of transformers, and its
  greedy text, one token at a time behind the cache.
- The models of ../shared and a micro_gpt trained here, in several schemes: greedy text equal to that of
  `nibble generate`, the prompt first and then token by token; perplexity of a text within 1e-4 of that of
  `nibble eval`; a text cut in two, and two rows of which one is padded on the left, give the same logits;
  onnx.checker finds nothing; onnxruntime-genai and optimum, where they are installed, write the same text.

int8 runs with session.qdq_matmulnbits_accuracy_level = 1: without it ONNX Runtime rounds inputs to int8
(docs/formats/onnx.md); how far the logits are from each other then is told.

Ends with 1 where one of them does not hold, 0 otherwise. What is missing is said and skipped.
"""
import json
import pathlib
import shutil
import subprocess
import sys

try:
    import numpy as np
    import onnx
    import onnxruntime
except ImportError as missing:
    print(f"onnx_runtime: skipped: {missing.name} is not installed")
    sys.exit(0)

SHARED = pathlib.Path("../shared/data")
SCHEMES = ["f32", "bf16", "int8", "int8:asym", "int8:tensor", "int2:g16:asym", "int4:g32", "int4:g32:asym", "int8:g64",
           "int4:g32 everything", "int8 everything", "int4:g32:asym everything"]
# The model, the text that it is measured on, and its prompts.
MODELS = [
    ("models/llama-shakespeare", "text/shakespeare-val.txt", ["ROMEO:\nBut soft", "KING:"]),
    ("models/gpt2-shakespeare", "text/shakespeare-val.txt", ["ROMEO:\nBut soft", "KING:"]),
    ("models/stories260k", "text/tinystories-sample.txt", ["Once upon a time", "Lily"]),
    ("archs/gemma2", "text/tinystories-sample.txt", ["\nOnce upon a time there was a little b"]),
]
TEXT_BYTES, WINDOW, NEW_TOKENS = 16_000, 256, 64
LIMIT = 1e-4


def run(*command):
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(map(str, command))}: {done.stderr.strip()}")
    return done.stdout


class Runner:
    """A folder in ONNX Runtime: logits of new tokens behind a cache."""

    def __init__(self, folder, rounded_inputs=False):
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        if not rounded_inputs:
            options.add_session_config_entry("session.qdq_matmulnbits_accuracy_level", "1")
        self.session = onnxruntime.InferenceSession(str(folder / "model.onnx"), options,
                                                    providers=["CPUExecutionProvider"])
        self.caches = [i for i in self.session.get_inputs() if i.name.startswith("past_key_values.")]
        names = [o.name for o in self.session.get_outputs()]
        assert names == ["logits"] + [c.name.replace("past_key_values", "present") for c in self.caches]

    def __call__(self, ids, cache=None, mask=None):
        """ids [batch, new]; mask [batch, past + new]. Returns logits and the cache behind them."""
        ids = np.array(ids, np.int64)
        batch, new = ids.shape
        past = cache[0].shape[2] if cache else 0
        mask = np.ones((batch, past + new), np.int64) if mask is None else mask
        feed = {"input_ids": ids, "attention_mask": mask,
                "position_ids": np.maximum(mask.cumsum(1) - 1, 0)[:, past:]}
        for i, c in enumerate(self.caches):
            empty = np.zeros((batch, c.shape[1], 0, c.shape[3]), np.float32)
            feed[c.name] = cache[i] if cache else empty
        logits, *cache = self.session.run(None, feed)
        return logits, cache

    def greedy(self, prompt, count):
        out = []
        logits, cache = self([prompt])
        for _ in range(count):
            out.append(int(logits[0, -1].argmax()))
            logits, cache = self([out[-1:]], cache)
        return out


def mean_loss(model, ids, window):
    """Windows behind each other, the last one dropped where it is not whole."""
    total, count = 0.0, 0
    for at in range(0, len(ids) - window + 1, window):
        part = ids[at:at + window]
        logits = model([part])[0][0, :-1].astype(np.float64)
        most = logits.max(-1, keepdims=True)
        rest = np.log(np.exp(logits - most).sum(-1)) + most[:, 0]
        total += float((rest - logits[np.arange(window - 1), part[1:]]).sum())
        count += window - 1
    return total / count


def export(command, model, out, scheme):
    if out.exists():
        shutil.rmtree(out)
    scheme, _, everything = scheme.partition(" ")
    more = ["--quantize", "lm_head,embeddings"] if everything else []
    if scheme == "f32":
        run(command, "convert", model, "-o", out, "--to", "onnx", "--quiet")
    else:
        run(command, "quantize", model, "-o", out, "--format", "onnx", "--scheme", scheme, "--method", "rtn",
            "--quiet", *more)
    onnx.checker.check_model(str(out / "model.onnx"), full_check=True)


def against_golden(command, work):
    worst, ok = 0.0, True
    files = sorted(pathlib.Path("tests/golden/models").glob("*.json"))
    for file in files:
        expected = json.loads(file.read_text())
        export(command, file.with_suffix(""), work / file.stem, "f32")
        model = Runner(work / file.stem)
        found = model([expected["ids"]])[0][0, -1]
        difference = float(np.abs(found - np.array(expected["logits"])).max())
        same = model.greedy(expected["ids"], len(expected["greedy"])) == expected["greedy"]
        worst = max(worst, difference)
        if not same or difference > LIMIT:
            ok = False
            print(f"{file.stem}: FAILED: logits differ by {difference:.1e}, text {'the same' if same else 'OTHER'}")
    print(f"{len(files)} models of tests/golden: logits within {worst:.1e} of transformers' {'' if ok else 'FAILED'}")
    return ok and files


def cache_difference(model, ids):
    """What a text in two pieces, and one beside a padded row, give other than the text at once."""
    whole = model([ids])[0][0]
    cut = len(ids) * 2 // 3
    _, cache = model([ids[:cut]])
    parts = np.abs(model([ids[cut:]], cache)[0][0] - whole[cut:]).max()
    short, pad = ids[:cut], len(ids) - cut
    mask = np.ones((2, len(ids)), np.int64)
    mask[1, :pad] = 0
    rows, cache = model([ids, [0] * pad + short], mask=mask)
    # Both rows go on with one more token.
    mask = np.concatenate([mask, np.ones((2, 1), np.int64)], 1)
    more = model([[ids[0]], [ids[0]]], cache, mask)[0]
    padded = max(np.abs(rows[0] - whole).max(), np.abs(rows[1, pad:] - whole[:cut]).max(),
                 np.abs(more[0, 0] - model([ids + ids[:1]])[0][0, -1]).max(),
                 np.abs(more[1, 0] - model([short + ids[:1]])[0][0, -1]).max())
    return float(max(parts, padded))


def genai_text(folder, prompt, count):
    import onnxruntime_genai as genai

    model = genai.Model(str(folder))
    params = genai.GeneratorParams(model)
    params.set_search_options(max_length=len(prompt) + count, do_sample=False)
    generator = genai.Generator(model, params)
    generator.append_tokens(np.array(prompt, np.int32))
    while not generator.is_done():
        generator.generate_next_token()
    return [int(i) for i in generator.get_sequence(0)][len(prompt):]


def optimum_text(folder, prompt, count):
    import torch
    from optimum.onnxruntime import ORTModelForCausalLM

    options = onnxruntime.SessionOptions()
    options.add_session_config_entry("session.qdq_matmulnbits_accuracy_level", "1")
    model = ORTModelForCausalLM.from_pretrained(folder, session_options=options)
    ids = torch.tensor([prompt])
    out = model.generate(ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=count,
                         pad_token_id=0)
    return out[0, len(prompt):].tolist()


MISSING = set()


def known_to_optimum(folder):
    """optimum-onnx 0.1 makes the empty cache by hidden_size / heads, and for Gemma 2 by all heads."""
    config = json.loads((folder / "config.json").read_text())
    return "head_dim" not in config or (config["model_type"] != "gemma2" and config["head_dim"] ==
                                        config["hidden_size"] // config["num_attention_heads"])


def others_agree(folder, prompt, ids):
    """Whether the programs that are installed write the same text."""
    words, ok = [], True
    for name, text_of in (("genai", genai_text), ("optimum", optimum_text)):
        if name == "optimum" and not known_to_optimum(folder):
            words.append("optimum skipped: it makes a cache of another shape")
            continue
        try:
            found = text_of(folder, prompt, len(ids))
        except ImportError as missing:
            MISSING.add(f"{name}: skipped: {missing.name} is not installed")
            continue
        same = found[:len(ids)] == ids
        ok = ok and same
        words.append(f"{name} {'the same' if same else 'OTHER'}")
    return ok, ", ".join(words)


def check(command, model, text, prompts, scheme, out):
    export(command, model, out, scheme)
    runner = Runner(out)
    same, others, ok = True, "", True
    for prompt in prompts:
        said = json.loads(run(command, "generate", out, "--prompt", prompt, "--temperature", "0",
                              "--max-new-tokens", str(NEW_TOKENS if text else 12), "--quiet", "--json"))
        same = same and runner.greedy(said["prompt_ids"], len(said["ids"])) == said["ids"]
        if not others and scheme in ("f32", "int8", "int4:g32") and "micro" not in str(model):
            ok, others = others_agree(out, said["prompt_ids"], said["ids"])
    words = [f"text {'the same' if same else 'OTHER'}"]
    if text:
        ids = json.loads(run(command, "tokenize", out, "--file", text, "--no-special", "--json"))["ids"]
        measured = json.loads(run(command, "eval", out, "--text", text, "--window", str(WINDOW), "--json", "--quiet"))
        loss = mean_loss(runner, ids, WINDOW)
        relative = abs(np.exp(loss - measured["mean_nll"]) - 1)
        ok = ok and relative < LIMIT
        words.append(f"perplexity {np.exp(loss):.4f}, nibble's {measured['perplexity']:.4f} ({relative:.0e})")
    else:
        ids = said["prompt_ids"] + said["ids"]
    difference = cache_difference(runner, ids[:12])
    words.append(f"cache and padding {difference:.0e}")
    if scheme == "int8":
        rounded = np.abs(Runner(out, rounded_inputs=True)([ids[:12]])[0] - runner([ids[:12]])[0]).max()
        words.append(f"by default inputs are rounded: {rounded:.0e}")
    ok = ok and same and difference < LIMIT
    print(f"{model.name:18} {scheme:24} {'; '.join(words + ([others] if others else []))}{'' if ok else '  FAILED'}",
          flush=True)
    return ok


def main():
    command = pathlib.Path(sys.argv[1]).resolve()
    work = pathlib.Path(sys.argv[2] if len(sys.argv) > 2 else "build/interop") / "onnx"
    work.mkdir(parents=True, exist_ok=True)
    print(f"onnx {onnx.__version__}, onnxruntime {onnxruntime.__version__}")
    ok = bool(against_golden(command, work))
    run(command, "train", "micro", "-o", work / "micro", "--steps", "300", "--quiet", "--force")
    for scheme in ("f32", "int8", "int4:g32:asym"):
        ok = check(command, work / "micro", "", ["a", "jo", "ma"], scheme, work / "out") and ok
    for model, text, prompts in MODELS:
        if not (SHARED / model).exists():
            print(f"{model}: skipped: ../shared is not here")
            continue
        part = work / "part.txt"
        part.write_bytes((SHARED / text).read_bytes()[:TEXT_BYTES].decode(errors="ignore").encode())
        for scheme in SCHEMES:
            ok = check(command, SHARED / model, part, prompts, scheme, work / "out") and ok
    for line in sorted(MISSING):
        print(line)
    sys.exit(0 if ok else 1)


if __name__ == "__main__":
    main()
