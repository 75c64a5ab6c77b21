"""Times CTranslate2 on a random GPT-2: reads "MODEL THREADS PREFILL DECODE" lines, answers like llamacpp.py."""

import sys
import time

import numpy as np


def make(target, kind):
    import ctranslate2
    from ctranslate2.specs import common_spec, transformer_spec

    layers, width, mlp, heads, vocab, context = 12, 768, 3072, 12, 50257, 1024
    random = np.random.default_rng(42)

    def matrix(n, k):
        return ((random.random((n, k), dtype=np.float32) - 0.5) * 0.07)

    def linear(spec, n, k):
        spec.weight, spec.bias = matrix(n, k), np.zeros(n, np.float32)

    def norm(spec):
        spec.gamma, spec.beta = np.ones(width, np.float32), np.zeros(width, np.float32)

    spec = transformer_spec.TransformerDecoderModelSpec.from_config(
        layers, heads, pre_norm=True, activation=common_spec.Activation.GELUTanh)
    d = spec.decoder
    d.scale_embeddings = False
    d.embeddings.weight = matrix(vocab, width)
    d.position_encodings.encodings = matrix(context, width)
    norm(d.layer_norm)
    d.projection.weight = d.embeddings.weight
    for layer in d.layer:
        norm(layer.self_attention.layer_norm)
        linear(layer.self_attention.linear[0], 3 * width, width)
        linear(layer.self_attention.linear[1], width, width)
        norm(layer.ffn.layer_norm)
        linear(layer.ffn.linear_0, mlp, width)
        linear(layer.ffn.linear_1, width, mlp)
    spec.register_vocabulary([f"t{i}" for i in range(vocab - 1)] + ["<|endoftext|>"])
    for key in ("bos_token", "eos_token", "unk_token"):
        setattr(spec.config, key, "<|endoftext|>")
    spec.validate()
    spec.optimize(quantization=kind if kind != "float32" else None)
    import os
    os.makedirs(target, exist_ok=True)
    spec.save(target)
    del ctranslate2


def main():
    if len(sys.argv) == 4 and sys.argv[1] == "make":
        return make(sys.argv[2], sys.argv[3])
    import ctranslate2

    generators = {}

    def run(generator, prefill, decode):
        prompt = [[f"t{(i * 7919 + 13) % 500}" for i in range(prefill)]]

        def timed(tokens):
            start = time.perf_counter()
            generator.generate_batch(prompt, max_length=tokens, min_length=tokens, sampling_topk=1,
                                     include_prompt_in_result=False)
            return time.perf_counter() - start

        first = timed(1)
        return first, timed(1 + decode) - first

    for line in sys.stdin:
        path, threads, prefill, decode = line.split()
        key = (path, threads)
        if key not in generators:
            generators.clear()
            generators[key] = ctranslate2.Generator(path, device="cpu", intra_threads=int(threads), inter_threads=1,
                                                    compute_type="auto")
            run(generators[key], int(prefill), int(decode))  # warm
        print(*run(generators[key], int(prefill), int(decode)), flush=True)


main()
