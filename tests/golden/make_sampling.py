"""Writes nn/sampling.json: the probabilities that transformers' processors of logits leave, in its order (repetition
penalty, temperature, top-k, top-p, min-p, typical-p), of random logits and histories; the penalties that it has not
(presence, frequency, top-n-sigma, a bias) by their definitions in torch.
usage: make_sampling.py        (in an environment with transformers)"""
import json
import pathlib
import random

import torch
from transformers.generation import logits_process as hf

random.seed(16)
torch.manual_seed(16)


def probabilities(logits, history, o):
    scores = torch.tensor([logits], dtype=torch.float64)
    ids = torch.tensor([history], dtype=torch.long)
    for token, value in o["bias"]:
        scores[0, token] += value
    if o["repetition_penalty"] != 1:
        scores = hf.RepetitionPenaltyLogitsProcessor(o["repetition_penalty"])(ids, scores)
    counts = torch.bincount(ids[0], minlength=len(logits)).double()
    scores = scores - o["presence_penalty"] * (counts > 0) - o["frequency_penalty"] * counts
    if o["top_n_sigma"] > 0:
        finite = scores[torch.isfinite(scores)]
        scores = scores.masked_fill(scores < scores.max() - o["top_n_sigma"] * finite.std(correction=0), -torch.inf)
    warpers = [hf.TemperatureLogitsWarper(o["temperature"])]
    if o["top_k"] > 0:
        warpers.append(hf.TopKLogitsWarper(o["top_k"]))
    if o["top_p"] < 1:
        warpers.append(hf.TopPLogitsWarper(o["top_p"]))
    if o["min_p"] > 0:
        warpers.append(hf.MinPLogitsWarper(o["min_p"]))
    if o["typical_p"] < 1:
        warpers.append(hf.TypicalLogitsWarper(o["typical_p"]))
    for warper in warpers:
        scores = warper(ids, scores)
    return torch.softmax(scores, -1)[0].tolist()


def case(alone=None):
    n = 24
    neutral = {"temperature": 1.0, "top_k": 0, "top_p": 1.0, "min_p": 0.0, "typical_p": 1.0, "top_n_sigma": 0.0,
               "repetition_penalty": 1.0, "presence_penalty": 0.0, "frequency_penalty": 0.0, "bias": []}
    drawn = {"temperature": random.choice([0.3, 0.7, 1.0, 1.8]), "top_k": random.choice([0, 3, 8, 20, 100]),
             "top_p": random.choice([1.0, 0.95, 0.6, 0.2]), "min_p": random.choice([0.0, 0.02, 0.2, 0.6]),
             "typical_p": random.choice([1.0, 0.95, 0.6, 0.2]), "top_n_sigma": random.choice([0.0, 0.5, 1.0, 2.0]),
             "repetition_penalty": random.choice([1.0, 1.3, 0.8]),
             "presence_penalty": random.choice([0.0, 0.5, -0.5]),
             "frequency_penalty": random.choice([0.0, 0.25, -0.1]),
             "bias": random.choice([[], [[3, 2.5]], [[0, -4.0], [5, -1.25]]])}
    o = {k: drawn[k] if alone in (None, k) else neutral[k] for k in neutral}
    logits = [round(x, 3) for x in (torch.randn(n) * random.choice([0.5, 2, 4])).tolist()]
    history = [random.randrange(n) for _ in range(random.randrange(0, 30))]
    return {"options": o, "logits": logits, "history": history, "probabilities": probabilities(logits, history, o)}


names = ["temperature", "top_k", "top_p", "min_p", "typical_p", "top_n_sigma", "repetition_penalty", "presence_penalty",
         "frequency_penalty", "bias"]
cases = [case(name) for name in names for _ in range(5)] + [case() for _ in range(60)]
lines = ",\n".join(json.dumps(c) for c in cases)
(pathlib.Path(__file__).parent / "nn" / "sampling.json").write_text(f"[\n{lines}\n]\n")
