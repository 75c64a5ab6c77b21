"""Writes text/tokenizer_sections.json: what Hugging Face's tokenizers make of a few texts with each
section of a tokenizer.json in turn.

Made with tokenizers 0.23.3; run it again with
    python tests/golden/make_tokenizer_sections.py
A case is a base ("bytes" or "marks": vocabulary, merges and usual sections), the sections that differ
from it, and for each of the texts the ids and, where it is not the text itself, what they decode to.
"""
import json
import pathlib

from tokenizers import Tokenizer, models, pre_tokenizers, trainers

PROSE = (
    "The quick brown fox can't jump over 1234 lazy dogs; they've seen it's done, I'll say.\n\n"
    "If x == 10 then y = 200.5 else return the other one. To be or not to be, that is the question: "
    "whether it is nobler in the mind to suffer the slings and arrows of outrageous fortune.\n"
    "    indented text and \ttabs, caf\u00e9 na\u00efve, \u4e2d\u6587\u5b57\u7b26 and more of the same. "
)
TEXTS = [
    "",
    "Hello world",
    "  two  spaces  ",
    "I'll say it's 1234 or 56,7 don't",
    "caf\u00e9 e\u0301 \ufb01 \u0130\u2126 \u4e2d\u6587",
    "a\n\n  b\r\n\tc \u00a0d\u3000e",
    "x<s>y </s> <tok> z<tok>",
    "x!!!  ??\u2026 \U0001f600 \u2581a\u2581",
    "<a b>words<A B> atoka tok",
    "\u0661\u0662 \u00bd 3rd, \u1e9e\u00df THE the",
]


def trained(tokenizer, size, alphabet, special):
    trainer = trainers.BpeTrainer(vocab_size=size, initial_alphabet=alphabet, special_tokens=special,
                                  show_progress=False)
    tokenizer.train_from_iterator([PROSE], trainer)
    return json.loads(tokenizer.to_str())["model"]


def bytes_base():
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    model = trained(tokenizer, 330, pre_tokenizers.ByteLevel.alphabet(), ["<s>", "</s>"])
    return {"model": model, "normalizer": None,
            "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True,
                              "use_regex": True},
            "post_processor": None,
            "decoder": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True,
                        "use_regex": True}}


def marks_base():
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    special = ["<unk>", "<s>", "</s>"] + [f"<0x{b:02X}>" for b in range(256)]
    model = trained(tokenizer, 370, [], special)
    model.update(unk_token="<unk>", fuse_unk=True, byte_fallback=True)
    return {"model": model,
            "normalizer": {"type": "Sequence", "normalizers": [
                {"type": "Prepend", "prepend": "\u2581"},
                {"type": "Replace", "pattern": {"String": " "}, "content": "\u2581"}]},
            "pre_tokenizer": None, "post_processor": None,
            "decoder": {"type": "Sequence", "decoders": [
                {"type": "Replace", "pattern": {"String": "\u2581"}, "content": " "},
                {"type": "ByteFallback"}, {"type": "Fuse"},
                {"type": "Strip", "content": " ", "start": 1, "stop": 0}]}}


def added(content, number, **flags):
    token = {"id": number, "content": content, "single_word": False, "lstrip": False,
             "rstrip": False, "normalized": False, "special": False}
    token.update(flags)
    return token


def split(pattern, behavior, invert=False):
    return {"type": "Split", "pattern": pattern, "behavior": behavior, "invert": invert}


def then_bytes(*steps):
    last = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}
    return {"type": "Sequence", "pretokenizers": [*steps, last]}


def template(first, *items):
    ids = {"<s>": first, "</s>": first + 1}
    single = [{"Sequence": {"id": "A", "type_id": 0}} if item == "A" else
              {"SpecialToken": {"id": item, "type_id": 0}} for item in items]
    special = {item: {"id": item, "ids": [ids[item]], "tokens": [item]} for item in ids}
    return {"type": "TemplateProcessing", "single": single,
            "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
            "special_tokens": special}


QWEN2 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|"
         r"\s*[\r\n]+|\s+(?!\S)|\s+")
LLAMA3 = QWEN2.replace(r"|\p{N}|", r"|\p{N}{1,3}|")
BEHAVIORS = ["Removed", "Isolated", "MergedWithPrevious", "MergedWithNext", "Contiguous"]


def byte_cases(first_free):
    yield {}
    for prefix in (False, True):
        for regex in (False, True):
            yield {"pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": prefix,
                                     "trim_offsets": True, "use_regex": regex}}
    for behavior in BEHAVIORS:
        for invert in (False, True):
            yield {"pre_tokenizer": then_bytes(split({"Regex": r"\s+"}, behavior, invert))}
        yield {"pre_tokenizer": then_bytes(split({"String": "s"}, behavior))}
    for pattern in (QWEN2, LLAMA3):
        yield {"pre_tokenizer": then_bytes(split({"Regex": pattern}, "Isolated"))}
        yield {"pre_tokenizer": then_bytes(split({"Regex": pattern}, "Removed", True))}
    for each in (False, True):
        yield {"pre_tokenizer": then_bytes({"type": "Digits", "individual_digits": each})}
    yield {"pre_tokenizer": then_bytes({"type": "Digits", "individual_digits": True},
                                       split({"Regex": r"[A-Z][a-z]*|\w+"}, "Isolated"))}
    for step in ([{"type": form} for form in ("NFC", "NFD", "NFKC", "NFKD", "Lowercase")] +
                 [{"type": "Strip", "strip_left": left, "strip_right": right}
                  for left, right in ((True, True), (True, False), (False, True))] +
                 [{"type": "Replace", "pattern": {"Regex": r"\s+"}, "content": "_"},
                  {"type": "Replace", "pattern": {"String": "l"}, "content": "LL"},
                  {"type": "Prepend", "prepend": "> "}]):
        yield {"normalizer": step}
    yield {"normalizer": {"type": "Sequence", "normalizers": [
        {"type": "NFKC"}, {"type": "Lowercase"}, {"type": "Strip", "strip_left": True,
                                                  "strip_right": True}]}}
    yield {"model": {"ignore_merges": True}}
    special = [added("<s>", 0, special=True), added("</s>", 1, special=True)]
    yield {"added_tokens": special, "post_processor": template(0, "<s>", "A")}
    yield {"added_tokens": special, "post_processor": {"type": "Sequence", "processors": [
        {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": False, "use_regex": True},
        template(0, "<s>", "A", "</s>", "</s>")]}}
    for flags in ({}, {"lstrip": True}, {"rstrip": True}, {"lstrip": True, "rstrip": True},
                  {"single_word": True}, {"normalized": True}, {"special": True}):
        for content in ("<tok>", "tok", "<a b>"):
            yield {"added_tokens": special + [added(content, first_free, **flags)]}
    yield {"added_tokens": special + [added("<a b>", first_free, normalized=True),
                                      added("b>w", first_free + 1), added("<a", first_free + 2)],
           "normalizer": {"type": "Lowercase"}}


def mark_cases(first_free):
    yield {}
    for byte_fallback in (False, True):
        for fuse in (False, True):
            yield {"model": {"byte_fallback": byte_fallback, "fuse_unk": fuse}}
    for scheme in ("always", "first", "never"):
        for whole in (False, True):
            step = {"type": "Metaspace", "replacement": "\u2581", "prepend_scheme": scheme,
                    "split": whole}
            yield {"normalizer": None, "pre_tokenizer": step, "decoder": step,
                   "added_tokens": [added("<s>", 1, special=True), added("<tok>", first_free)]}
    special = [added("<unk>", 0, special=True), added("<s>", 1, special=True),
               added("</s>", 2, special=True)]
    for flags in ({}, {"lstrip": True, "rstrip": True}, {"single_word": True}):
        yield {"added_tokens": special + [added("<tok>", first_free, **flags)]}
    yield {"added_tokens": special, "post_processor": template(1, "<s>", "A")}
    yield {"decoder": {"type": "Fuse"}}
    yield {"decoder": {"type": "Sequence", "decoders": [
        {"type": "Replace", "pattern": {"String": "\u2581"}, "content": "_"},
        {"type": "Replace", "pattern": {"String": "__"}, "content": "-"}, {"type": "Fuse"},
        {"type": "Strip", "content": "-", "start": 3, "stop": 0}]}}


def full(base, sections):
    out = {"version": "1.0", "truncation": None, "padding": None, "added_tokens": [], **base}
    for name, value in sections.items():
        out[name] = {**base["model"], **value} if name == "model" else value
    return out


def run(base, sections):
    tokenizer = Tokenizer.from_str(json.dumps(full(base, sections)))
    rows = []
    for text in TEXTS:
        ids = tokenizer.encode(text).ids
        row = {"ids": ids}
        for key, skip in (("decoded", False), ("plain", True)):
            decoded = tokenizer.decode(ids, skip_special_tokens=skip)
            if decoded != text:
                row[key] = decoded
        rows.append(row)
    return rows


def main():
    bases = {"bytes": bytes_base(), "marks": marks_base()}
    cases = []
    for name, make in (("bytes", byte_cases), ("marks", mark_cases)):
        base = bases[name]
        for sections in make(len(base["model"]["vocab"])):
            cases.append({"base": name, "sections": sections, "results": run(base, sections)})
    out = pathlib.Path(__file__).parent / "text" / "tokenizer_sections.json"
    head = json.dumps({"texts": TEXTS, "bases": bases}, separators=(",", ":"))
    rows = ",\n".join(json.dumps(case, separators=(",", ":")) for case in cases)
    out.write_text(head[:-1] + ',"cases":[\n' + rows + "\n]}\n")
    print(len(cases), "cases,", out.stat().st_size, "bytes")


if __name__ == "__main__":
    main()
