"""Does transformers load what nibble wrote, and to the same weights and logits?

    python tests/interop/transformers_logits.py NIBBLE MODEL [WORK]

NIBBLE is the command, MODEL a folder of a Llama-like model. For every scheme the model is quantized
into WORK/SCHEME and loaded by transformers, packed, through compressed-tensors or bitsandbytes. Its
logits are compared with those of transformers for plain weights that this script unpacks itself from
the tensors, as docs/formats describes them: they must agree to 1e-3. With these plain weights the most
likely next tokens must be the ones that nibble generates from the folder.

Ends with 1 where one of them does not, 0 otherwise.
"""
import json
import pathlib
import shutil
import subprocess
import sys

import numpy as np
import torch
import transformers
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

# The scheme, how it is made (gptq and yaqa give symmetric groups scales below 0, too; awq folds scales into
# norms) and how it is loaded:
#   f32     in f32, all of it
#   bf16    in bf16, as compressed-tensors unpacks fp4 to bf16; so are the plain weights
#   tensor  tensor by tensor: transformers 5.23 makes room for zero points that are not packed, and
#           refuses those that compressed-tensors 0.20 itself packs
#   a8      tensor by tensor, too, as the loader rounds activations, which plain weights do not; that it
#           loads, and by how much its logits differ then, is told
SCHEMES = [
    ("int8", "rtn", "f32"), ("int8:a8", "rtn", "a8"), ("int8:a8static", "rtn", "a8"),
    ("int4:g32", "rtn", "f32"), ("int4:g32", "gptq", "f32"), ("int4:g32", "awq", "f32"),
    ("int4:g32", "yaqa", "f32"),
    ("int4:g32:asym", "rtn", "tensor"), ("fp8_e4m3", "rtn", "f32"), ("fp8_e4m3:tensor", "rtn", "f32"),
    ("nvfp4", "rtn", "bf16"), ("mxfp4", "rtn", "bf16"), ("nf4", "rtn", "f32"), ("fp4", "rtn", "f32"),
]
LIMIT = 1e-3
IDS = [1, 300, 17, 950, 4, 4, 1200, 88]
PROMPT, NEW_TOKENS = "ROMEO:", 48
E2M1 = np.array([0, .5, 1, 1.5, 2, 3, 4, 6, 0, -.5, -1, -1.5, -2, -3, -4, -6], np.float32)


def bit_stream(words, bits, count):
    """Rows of int32 words as `count` codes of `bits` bits, the lowest bit first."""
    raw = np.unpackbits(words.view(np.uint8), axis=1, bitorder="little")[:, : count * bits]
    return (raw.reshape(words.shape[0], count, bits) << np.arange(bits)).sum(-1).astype(np.int32)


def spread(scales, columns):
    return np.repeat(scales, columns // scales.shape[1], axis=1)


def unpack_words(t, x, group):
    n, k = (int(v) for v in t[x + ".weight_shape"])
    bits = group["weights"]["num_bits"]
    scale = t[x + ".weight_scale"].float().numpy()
    zero = 2 ** (bits - 1)
    if x + ".weight_zero_point" in t:
        packed = np.ascontiguousarray(t[x + ".weight_zero_point"].numpy().T)
        zero = spread(bit_stream(packed, bits, n).T, k)
    codes = bit_stream(t[x + ".weight_packed"].numpy(), bits, k) - zero
    return codes.astype(np.float32) * spread(scale.reshape(-1, scale.shape[-1]), k)


def unpack_fp4(t, x):
    packed = t[x + ".weight_packed"].numpy()
    codes = np.stack([packed & 15, packed >> 4], -1).reshape(packed.shape[0], -1)
    scale = t[x + ".weight_scale"]
    if x + ".weight_global_scale" in t:
        scale = scale.float().numpy() / t[x + ".weight_global_scale"].numpy()
    else:
        scale = np.exp2(scale.numpy().astype(np.float32) - 127)
    return E2M1[codes] * spread(scale, codes.shape[1])


def unpack_bitsandbytes(t, x):
    w = x + ".weight"
    (name,) = [n for n in t if n.startswith(w + ".quant_state.bitsandbytes__")]
    state = json.loads(bytes(t[name].tolist()).decode())
    packed = t[w].numpy().reshape(-1)
    codes = np.stack([packed >> 4, packed & 15], -1).reshape(-1)
    absmax = t[w + ".absmax"].numpy()
    if "nested_offset" in state:
        nested = t[w + ".nested_quant_map"].numpy()[absmax]
        blocks = np.repeat(t[w + ".nested_absmax"].numpy(), state["nested_blocksize"])[: len(nested)]
        absmax = nested * blocks + np.float32(state["nested_offset"])
    values = t[w + ".quant_map"].numpy()[codes] * np.repeat(absmax, state["blocksize"])
    return values.reshape(state["shape"])


def plain_weights(folder):
    """Every weight as f32, unpacked here."""
    config = json.loads((folder / "config.json").read_text())["quantization_config"]
    t = load_file(folder / "model.safetensors")
    groups = config.get("config_groups", {})
    of_module = {m: g for g in groups.values() for m in g["targets"]}
    out = {}
    for name in t:
        if name.endswith(".input_scale"):  # of the activations
            continue
        module = name.split(".weight")[0]
        if module + ".weight" in out:
            continue
        if any(n.startswith(module + ".weight.quant_state") for n in t):
            w = unpack_bitsandbytes(t, module)
        elif module not in of_module:
            out[name] = t[name].float()
            continue
        elif of_module[module]["format"] == "pack-quantized":
            w = unpack_words(t, module, of_module[module])
        elif "fp4" in of_module[module]["format"]:
            w = unpack_fp4(t, module)
        else:
            scale = t[module + ".weight_scale"].float().reshape(-1, 1)
            w = (t[module + ".weight"].float() * scale).numpy()
        out[module + ".weight"] = torch.from_numpy(np.ascontiguousarray(w))
    return out


def quantize(command, model, out, scheme, method):
    if out.exists():
        shutil.rmtree(out)
    subprocess.run([command, "quantize", model, "-o", out, "--scheme", scheme, "--method", method,
                    "--samples", "16", "--quiet"], check=True, stdout=subprocess.DEVNULL)


def logits_of(model, ids):
    with torch.no_grad():
        return model(ids).logits.float()


def plain_model(model, weights, dtype):
    plain = AutoModelForCausalLM.from_pretrained(model, dtype=dtype)
    missing, unexpected = plain.load_state_dict(weights, strict=False)
    assert not unexpected, unexpected
    assert all("lm_head" in m or "inv_freq" in m for m in missing), missing
    return plain.eval()


def decompressed(folder, weights):
    """The weights again, those of compressed-tensors unpacked by its own compressors."""
    from compressed_tensors.compressors import BaseCompressor
    from compressed_tensors.quantization import QuantizationScheme

    config = json.loads((folder / "config.json").read_text())["quantization_config"]
    t = load_file(folder / "model.safetensors")
    out = dict(weights)
    for group in config["config_groups"].values():
        scheme = QuantizationScheme(**group)
        compressor = BaseCompressor.get_value_from_registry(group["format"])
        for module in group["targets"]:
            state = {n[len(module) + 1:]: v for n, v in t.items() if n.startswith(module + ".")}
            state["weight_scale"] = state["weight_scale"].float()
            out[module + ".weight"] = compressor.decompress(state, scheme)["weight"].float()
    return out


def packed_model(folder, dtype):
    packed = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype).eval()
    for module in packed.modules():
        # bitsandbytes rounds activations to bf16 where the processor multiplies those.
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False
    return packed


def same_tokens(command, folder, plain):
    """Whether nibble's greedy text is what the plain weights say, token by token."""
    out = subprocess.run([command, "generate", folder, "--prompt", PROMPT, "--temperature", "0",
                          "--max-new-tokens", str(NEW_TOKENS), "--quiet", "--json"],
                         check=True, capture_output=True, text=True)
    said = json.loads(out.stdout)
    prompt, ids = said["prompt_ids"], said["ids"]
    logits = logits_of(plain, torch.tensor([prompt + ids]))[0]
    return logits.argmax(-1)[len(prompt) - 1:-1].tolist() == ids


def check(command, model, out, scheme, method, how):
    quantize(command, model, out, scheme, method)
    ids = torch.tensor([IDS])
    dtype = torch.bfloat16 if how == "bf16" else torch.float32
    weights = plain_weights(out)
    exact = logits_of(plain_model(model, weights, dtype), ids)
    same = how == "a8" or same_tokens(command, out, plain_model(model, weights, torch.float32))
    if how in ("tensor", "a8"):
        found = plain_model(model, decompressed(out, weights), dtype)
    else:
        found = packed_model(out, dtype)
    difference = float((logits_of(found, ids) - exact).abs().max())
    ok = same and difference <= LIMIT
    words = "the same" if same else "OTHERS"
    if how == "a8":
        rounded = float((logits_of(packed_model(out, dtype), ids) - exact).abs().max())
        words = f"not compared (rounded activations: logits differ by {rounded:.1e})"
    if how != "a8":
        negative = sum(int((v.float() < 0).sum()) for n, v in load_file(out / "model.safetensors").items()
                       if n.endswith("weight_scale") and v.is_floating_point())
        words += f", {negative} scales below 0" if negative else ""
    print(f"{scheme:16} {method:5} {how:7} largest logit difference {difference:.1e}  "
          f"{'ok' if ok else 'DIFFERS':8} tokens: {words}", flush=True)
    return ok


def main():
    transformers.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    command, model = sys.argv[1:3]
    work = pathlib.Path(sys.argv[3] if len(sys.argv) > 3 else "build/interop")
    work.mkdir(parents=True, exist_ok=True)
    results = []
    for scheme, method, how in SCHEMES:
        try:
            out = work / f"{scheme.replace(':', '_')}-{method}"
            results.append(check(command, model, out, scheme, method, how))
        except Exception as error:  # the next scheme is still worth trying
            print(f"{scheme:16} {method:5} FAILED: {type(error).__name__}: {str(error)[:300]}", flush=True)
            results.append(False)
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
