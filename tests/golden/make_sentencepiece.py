"""Writes text/sentencepiece.json: small SentencePiece BPE models of several settings, and the ids and
texts that SentencePiece makes with them.

Made with sentencepiece 0.2.3; run it again with
    python tests/golden/make_sentencepiece.py
"""
import base64
import io
import json
import pathlib

import sentencepiece

PROSE = """The quick brown fox can't jump over 1234 lazy dogs; they've seen it's done, I'll say.
If x == 10 then y = 200.5 else return the other one. To be or not to be, that is the question.
Whether it is nobler in the mind to suffer the slings and arrows of outrageous fortune, or to take arms.
caf\u00e9 na\u00efve \u4e2d\u6587 and more of the same, the same words again and again in other lines.
"""
TEXTS = ["", " ", "Hello world", "  two  spaces  ", "the other one, the same", "caf\u00e9 \u4e2d\u6587 \U0001f600",
         "a\nb\tc\r\n", "I'll say it's 1234", "x<sep>y <sep> <sep>", "\u2581a\u2581\u2581b", "</s> <unk> <s>",
         "zzqq\u00e9\u00e9Z", "thethethethe the"]
SETTINGS = {
    "plain": {},
    "byte fallback": {"byte_fallback": True},
    "no dummy prefix": {"add_dummy_prefix": False},
    "spaces kept": {"remove_extra_whitespaces": False, "byte_fallback": True},
    "user defined": {"user_defined_symbols": ["<sep>", "\u2581the"]},
    "digits": {"split_digits": True, "split_by_whitespace": False},
    "other ids": {"pad_id": 0, "unk_id": 3, "bos_id": 1, "eos_id": 2},
}


def trained(settings):
    out = io.BytesIO()
    size = 400 if settings.get("byte_fallback") else 150
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(PROSE.splitlines()), model_writer=out, model_type="bpe", vocab_size=size,
        normalization_rule_name="identity", minloglevel=2, hard_vocab_limit=False, **settings)
    return out.getvalue()


def run(settings):
    model = trained(settings)
    processor = sentencepiece.SentencePieceProcessor(model_proto=model)
    rows = []
    for text in TEXTS:
        ids = processor.encode(text)
        rows.append({"ids": ids, "decoded": processor.decode(ids)})
    return {"model": base64.b64encode(model).decode(), "bos": processor.bos_id(),
            "eos": processor.eos_id(), "results": rows}


def main():
    models = {name: run(settings) for name, settings in SETTINGS.items()}
    out = pathlib.Path(__file__).parent / "text" / "sentencepiece.json"
    rows = ",\n".join(json.dumps(name) + ":" + json.dumps(m, separators=(",", ":"))
                      for name, m in models.items())
    out.write_text('{"texts":' + json.dumps(TEXTS) + ',"models":{\n' + rows + "\n}}\n")
    print(out.stat().st_size, "bytes")


if __name__ == "__main__":
    main()
