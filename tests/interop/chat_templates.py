"""nibble beside transformers: published chat templates with a real tokenizer, text and ids, and small random templates beside Jinja2.

usage: chat_templates.py NIBBLE TOKENIZER.json TEMPLATES_FOLDER PLACE [RANDOM [SEED]]
TEMPLATES_FOLDER has *.jinja and templates.json (../shared/data/templates); RANDOM templates are drawn (default 300).
"""
import datetime
import json
import pathlib
import random
import subprocess
import sys

import transformers
import transformers.utils.chat_template_utils as chat

SPECIAL = {"bos_token": "<|endoftext|>", "eos_token": "<|im_end|>", "pad_token": "<|endoftext|>"}
DAY = "2026-01-15"


class Pinned(datetime.datetime):
    @classmethod
    def now(cls, tz=None):
        return cls(2026, 1, 15, 12, 0, 0)


chat.datetime = Pinned


def nibble(command, folder, conversation):
    """What nibble makes of a conversation, {"text", "ids"}, or None where it refuses."""
    run = subprocess.run([command, "tokenize", str(folder), "--chat", "-", "--json", "--template-date", DAY],
                         input=json.dumps(conversation).encode(), capture_output=True)
    if run.returncode == 0:
        return json.loads(run.stdout)
    assert run.returncode == 65 and json.loads(run.stderr)["error"]["code"] == 65, (run.returncode, run.stderr)
    return None


def make_folder(place, tokenizer):
    place.mkdir(parents=True, exist_ok=True)
    (place / "tokenizer.json").write_bytes(pathlib.Path(tokenizer).read_bytes())
    (place / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "PreTrainedTokenizerFast", **SPECIAL}))


def published(command, folder, templates):
    """Every template with every conversation: the number that differ."""
    golden = json.loads((templates / "templates.json").read_text())
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_file=str(folder / "tokenizer.json"), **SPECIAL)
    wrong = cases = 0
    for name in golden["results"]:
        source = (templates / name).read_text()
        (folder / "chat_template.jinja").write_text(source)
        for key, conversation in golden["conversations"].items():
            cases += 1
            more = {k: v for k, v in conversation.items() if k not in ("messages", "tools")}
            more.setdefault("add_generation_prompt", True)
            try:
                ask = lambda tokenize: tokenizer.apply_chat_template(
                    conversation["messages"], conversation.get("tools"), chat_template=source, tokenize=tokenize, **more)
                text = ask(False)
                ids = ask(True)
                ids = ids["input_ids"] if not isinstance(ids, list) else ids
            except Exception:
                text = ids = None
            made = nibble(command, folder, conversation)
            same = made is None if text is None else made is not None and (made["text"], made["ids"]) == (text, list(ids))
            if not same:
                wrong += 1
                print(f"{name}, {key}: transformers {text!r}\n  nibble {made and made['text']!r}")
    print(f"chat templates: {cases} conversations, {wrong} differ")
    return wrong


LEAVES = """a b s l d n t f messages missing 'x' '' 'a\u00a0b,c' '<|x|>' '\\n\u00a0y\u00a0' "it's" -3 0 1 7 12 true none 1.5 [] {} messages[0].content d.k s[1:] 'é👋'""".replace("\n", " ").split(" ")
LEAVES = [leaf.replace("\u00a0", " ") for leaf in LEAVES]
OPERATORS = "+ - * ~ // % == != < >= in and or".split()
FILTERS = """upper lower trim length list first last tojson string int float title capitalize reverse|list sort unique|list sum join e items|list
             dictsort abs round wordcount max min default('x') replace('a','b') join('-') batch(2)|list truncate(5) indent(2) default('x',true)
             map('string')|list select|list slice(2)|list""".split()
METHODS = """strip() split() upper() items()|list get('k') split(',') replace('a','b') startswith('a') find('b') title() splitlines() zfill(4)
             center(7) count('a') rsplit(None,1) partition(',') lstrip('a') capitalize() isdigit() removeprefix('a')""".split()
TESTS = "defined string mapping sequence iterable number none odd boolean integer float lower true undefined callable".split()
SLICES = "0 -1 1: :-1 ::-1 ::2 'k' 1:5:2 9".split()
TEMPLATES = ["({0} {op} {1})", "({0})|{filter}", "{0}|{filter}", "({0}).{method}", "({0})[{slice}]", "({0} if {1} else {2})", "({0} is {test})",
             "({0} is not {test})", "[{0}, {1}]", "{{'k': {0}, 2: {1}}}", "({0},)", "(not {0})", "('%s|%5s' % ({0}, {1}))", "'{{}}-{{:>4}}'.format({0}, 'x')",
             "messages|map(attribute='role')|join({0})", "messages|selectattr('role', 'equalto', {0})|list|length", "range(4)|list", "({0} < {1} <= {2})"]
STATEMENTS = ["{{{{{l} {0} {r}}}}}", "{{%{l} if {0} {r}%}}{body}{{% elif {1} -%}}{body}{{%- else %}}{body}{{% endif {r}%}}", "{{%{l} set a = {0} {r}%}}",
              "{{%{l} for x in {0} {r}%}}{{{{ loop.index }}}}{{{{ x }}}}{{{{ loop.last }}}}{body}{{% else %}}{body}{{% endfor {r}%}}",
              "{{% for x in {0} if x %}}{{{{ x }}}}{{{{ loop.nextitem }}}}{{%- endfor %}}", "{{% set s {r}%}}{body}{{%{l} endset %}}", "{{#{l} c {r}#}}",
              "{{% set ns = namespace(v=1) %}}{{%{l} set ns.v = {0} {r}%}}{{{{ ns.v }}}}", "{{% macro m(p, q=2) {r}%}}{{{{ p }}}}{{{{ q }}}}{body}{{%{l} endmacro %}}{{{{ m({0}) }}}}",
              "{{% with a = {0} {r}%}}{body}{{%{l} endwith %}}", "{{% filter upper %}}{body}{{% endfilter {r}%}}", "{{%{l} raw {r}%}}{{{{ x }}}}{{%{l} endraw {r}%}}"]


class Drawer:
    """Random templates of the language's parts; most of them run."""

    def __init__(self, seed):
        self.r = random.Random(seed)

    def expression(self, depth=0):
        if depth > 2 or self.r.random() < 0.35:
            return self.r.choice(LEAVES)
        parts = [self.expression(depth + 1) for _ in range(3)]
        words = {"op": OPERATORS, "filter": FILTERS, "method": METHODS, "slice": SLICES, "test": TESTS}
        return self.r.choice(TEMPLATES).format(*parts, **{name: self.r.choice(of) for name, of in words.items()})

    def statement(self, depth):
        return self.r.choice(STATEMENTS).format(self.expression(), self.expression(), body=self.body(depth + 1),
                                                l=self.r.choice(["", "-"]), r=self.r.choice(["", "-"]))

    def body(self, depth=0):
        if depth > 2:
            return "{{ a }}"
        space = lambda: self.r.choice(["", "", "\n", " ", "  \n", "\n  ", "y"])
        return "".join(space() + self.statement(depth) for _ in range(self.r.randint(1, 3))) + space()


def drawn(command, folder, count, seed):
    """Random templates: the number that differ. A float's words of an error are no matter, whether there is one is."""
    drawer, wrong, refused = Drawer(seed), 0, 0
    variables = {"a": "Ab c", "b": 3, "s": "one two,three", "l": [3, 1, 2], "d": {"k": "v", "a": [1, {"z": None}]}, "n": None, "t": True, "f": 2.5}
    conversation = {"messages": [{"role": "user", "content": "x"}, {"role": "assistant", "content": "y"}], **variables}
    for _ in range(count):
        source = drawer.body()
        try:
            text = chat._compile_jinja_template(source).render(add_generation_prompt=True, tools=None, documents=None, **SPECIAL, **json.loads(json.dumps(conversation)))
            if " object at 0x" in text or "<built-in" in text or "<generator" in text or "<bound method" in text:
                continue
        except Exception as e:
            text, refused = None, refused + 1
            error = e
        (folder / "chat_template.jinja").write_text(source)
        made = nibble(command, folder, conversation)
        if (made and made["text"]) != text:
            wrong += 1
            print(f"{source!r}\n  jinja2 {text if text is not None else error!r}\n  nibble {made and made['text']!r}")
    print(f"random templates: {count} drawn, {refused} refused, {wrong} differ")
    return wrong


def main(command, tokenizer, templates, place, count=300, seed=1):
    folder = pathlib.Path(place)
    make_folder(folder, tokenizer)
    wrong = drawn(command, folder, int(count), int(seed))
    wrong += published(command, folder, pathlib.Path(templates))
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main(*sys.argv[1:])
