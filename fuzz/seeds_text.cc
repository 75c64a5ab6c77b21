// Seeds of the targets that read text: tokenizers, templates, patterns, JSON.
#include <cstdio>
#include <cstring>

#include "fuzz/seeds.h"
#include "nibble/core/random.h"
#include "nibble/text/char_tokenizer.h"
#include "nibble/text/pre_tokenizer.h"

namespace {

std::string json_with(const std::string& sections, const std::string& decoder) {
  return R"({"version":"1.0","added_tokens":[{"id":5,"content":"<s>","special":true},
{"id":6,"content":"<x>","lstrip":true,"rstrip":true,"single_word":true,"normalized":true}],)" +
         sections + R"("decoder":)" + decoder +
         R"(,"model":{"type":"BPE","unk_token":"a","fuse_unk":true,"byte_fallback":true,
"vocab":{"a":0,"b":1,"ab":2,"Ġ":3,"▁":4},"merges":["a b"]}})";
}

Seeds tokenizer_json() {
  const std::string fuse = R"({"type":"Fuse"})", byte_level = R"({"type":"ByteLevel"})";
  const std::string text = "ab <x> b<s>a1",
                    config = R"({"add_prefix_space":false,"bos_token":"a"})";
  Seeds out;
  for (const std::string& sections :
       {std::string(), std::string(R"("pre_tokenizer":{"type":"ByteLevel"},)"),
        std::string(R"("pre_tokenizer":{"type":"Metaspace","prepend_scheme":"first"},)"),
        std::string(R"("pre_tokenizer":{"type":"Sequence","pretokenizers":[{"type":"Digits"},
{"type":"Split","pattern":{"Regex":"\\p{L}+|\\s"},"behavior":"MergedWithNext","invert":true}]},)"),
        std::string(R"("normalizer":{"type":"Sequence","normalizers":[{"type":"NFKC"},
{"type":"Lowercase"},{"type":"Strip"},{"type":"Prepend","prepend":"▁"},
{"type":"Replace","pattern":{"String":" "},"content":"▁"}]},)"),
        std::string(R"("post_processor":{"type":"TemplateProcessing","single":[{"SpecialToken":
{"id":"<s>","type_id":0}},{"Sequence":{"id":"A","type_id":0}}],"pair":[],"special_tokens":
{"<s>":{"id":"<s>","ids":[5],"tokens":["<s>"]}}},)")}) {
    for (const std::string& decoder : {fuse, byte_level})
      out.push_back(joined({text, "", json_with(sections, decoder)}));
    out.push_back(joined({text, config, json_with(sections, fuse)}));
  }
  out.push_back(joined({text, "", json_with("", R"({"type":"Sequence","decoders":[
{"type":"Replace","pattern":{"String":"▁"},"content":" "},{"type":"ByteFallback"},{"type":"Fuse"},
{"type":"Strip","content":" ","start":1,"stop":0}]})")}));
  return out;
}

Seeds vocab_merges() {
  const std::string vocab = R"({"a":0,"b":1,"ab":2,"Ġ":3,"<e>":4})",
                    merges = "#version: 0.2\na b\n";
  return {joined({"ab <e>a", "", "", "", vocab, merges}),
          joined({"ab", R"({"tokenizer_class":"Qwen2Tokenizer","add_bos_token":true,
"bos_token":{"content":"<e>"},"added_tokens_decoder":{"5":{"content":"<x>","special":true}}})",
                  "", "", vocab, merges}),
          joined({"a<p>", R"({"add_prefix_space":true,"legacy":false})",
                  R"({"eos_token":"<e>","additional_special_tokens":["<p>"]})",
                  R"({"<p>":5,"<x>":6})", vocab, merges})};
}

std::string number(int field, int value) {
  return {static_cast<char>(field << 3), static_cast<char>(value)};
}
std::string bytes(int field, const std::string& content) {
  return std::string{static_cast<char>(field << 3 | 2), static_cast<char>(content.size())} +
         content;
}
std::string piece(const std::string& text, float score, int type) {
  std::string value(4, '\0');
  std::memcpy(value.data(), &score, 4);
  return bytes(1, bytes(1, text) + "\x15" + value + number(3, type));
}

Seeds sentencepiece() {
  const std::string pieces = piece("<unk>", 0, 2) + piece("<s>", 0, 3) + piece("</s>", 0, 3) +
                             piece("\u2581", -4, 1) + piece("the", -1, 1) + piece("th", -2, 1) +
                             piece("<u>", 0, 4) + piece("<0x0A>", 0, 6);
  const std::string trainer = bytes(2, number(3, 2));
  std::string llama2c = std::string("\x08\0\0\0", 4);
  for (int i = 0; i < 262; ++i) {
    char text[8];
    std::snprintf(text, sizeof text, "<0x%02X>", (i - 3) & 0xFF);
    const std::string token = i < 3     ? "<s" + std::to_string(i)
                              : i < 259 ? text
                                        : std::string(1, static_cast<char>('a' + i - 259));
    llama2c +=
        std::string(4, '\0') + static_cast<char>(token.size()) + std::string(3, '\0') + token;
  }
  return {pieces + trainer, pieces + trainer + bytes(3, number(3, 0) + number(4, 0)), llama2c};
}

Seeds gguf_vocabulary() {
  const std::string tokens = "1ab\n1abc\n1\u0120a\n3<|im_end|>\n4<x>\n5[PAD261]\n",
                    merges = "a b\nab c\n\u0120 a\n", text = "abc a<|im_end|><x> 12\n";
  const std::string pieces = "2<unk>\n3<s>\n3</s>\n1\u2581a\n1ab\n1\u2581\n1a\n1b\n4<x>\n";
  Seeds out;
  for (const char* pre : {"gpt-2", "llama-bpe", "qwen2", "deepseek-llm", "default", ""}) {
    out.push_back(joined({text, std::string("gpt2\n") + pre, "44--", tokens, merges}));
  }
  out.push_back(joined({text, "llama\ndefault\nphi-3", "23--1--111", pieces, ""}));
  out.push_back(joined({text, "llama", "", pieces, ""}));
  out.push_back(joined({text, "gemma4", "23--1--100", pieces, "a b\n\u2581 a"}));
  return out;
}

Seeds chat_template() {
  const std::string chatml =
      "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\\n' + "
      "message['content'] + '<|im_end|>' + '\\n'}}{% endfor %}{% if add_generation_prompt %}{{ "
      "'<|im_start|>assistant\\n' }}{% endif %}";
  const std::string line =
      R"({"messages":[{"role":"user","content":"a"},{"role":"assistant","content":"aa"}]})";
  return {joined({"Hi", "", chatml, line}), joined({" Hi ", "Be brief.", chatml, line}),
          joined({"{text}", "{bos}",
                  "{% generation %}{{ messages[1].content }}{% endgeneration %}a", line})};
}

Seeds jinja() {
  const std::string chat = R"({"messages":[{"role":"system","content":"S"},{"role":"user","content":
"\u00e9 <b>"},{"role":"assistant","content":[{"type":"text","text":"A"}]}],"tools":[{"a":{"b":1.5}}],
"bos_token":"<s>","add_generation_prompt":true})";
  Seeds out;
  for (const char* source :
       {"{{ bos_token }}{% for m in messages %}<|{{ m.role }}|>{{ m['content']|trim }}{% endfor %}",
        "{%- set ns = namespace(a=0) -%}{% for m in messages if m.role != 'user' recursive %}"
        "{% set ns.a = ns.a + loop.index0 %}{{ loop.previtem }}{% if loop.first %}{% continue %}"
        "{% endif %}{% endfor %}{{ ns.a }}",
        "{% macro m(x, y=[1, 2]) -%}{{ x|tojson(indent=2) }}{{ y[::-1] }}{{ caller() }}"
        "{%- endmacro %}{% call m(tools) %}{{ '%s' % x }}{% endcall %}",
        "{% set x %}{% generation %}{{ messages|map(attribute='role')|join(', ') }}"
        "{% endgeneration %}{% endset %}{{ x.split(',')|last|upper }}{{ x.find('u') }}",
        "{{ 'a' if messages is sequence and 1 < 2.5 else {'a': (1, none)}.items()|list }}",
        "{% raw %}{{{% endraw %}{#- c #}{{ range(3)|select('odd')|list ~ -2 ** 3 // 4 }}"})
    out.push_back(joined({chat, source}));
  return out;
}

Seeds regex() {
  const std::string text = "Hello it's  12 \u4e2d\n";
  Seeds out{joined({std::string(nibble::kGpt2Pattern), text}),
            joined({std::string(nibble::kQwen2Pattern), text})};
  for (const char* pattern : {"(?i)a|b", "(?<=a)b{1,3}+?", "[^\\s\\p{L}]*(?!\\S)", "(?>a+)++\\b",
                              "\\x{4e2d}|[[:alpha:]]", "(?:a|b+)*c"})
    out.push_back(joined({pattern, text}));
  return out;
}

Seeds json() {
  return {R"({"a":[1,-2.5e3,true,null,"\u00e9\n"],"b":{"c":{}}})", "[[[1]]]", "-0.0"};
}

Seeds generation_config() {
  return {R"({"do_sample":true,"temperature":0.7,"top_k":40,"top_p":0.9,"min_p":0.05,
"repetition_penalty":1.1,"eos_token_id":[1,2],"bos_token_id":0,"stop_strings":["a","b"]})",
          R"({"num_beams":4,"max_length":20,"eos_token_id":1,"stop_strings":"x","typical_p":0.2})"};
}

Seeds char_tokenizer() {
  const std::string lines = "anna\nbela\ncarl\ndora\n";
  return {joined({nibble::CharTokenizer::from_text(lines, true).to_json(), lines}),
          joined({nibble::CharTokenizer::from_text("a b\u00e9\n", false).to_json(), "a b\n"})};
}

Seeds words() {
  return {"int4:g128:asym:a8static", "*layers.0.*=nf4:g64", "*=bf16", nibble::PyRandom(1).save()};
}

}  // namespace

std::map<std::string, Seeds> text_seeds() {
  return {{"tokenizer_json", tokenizer_json()},
          {"vocab_merges", vocab_merges()},
          {"sentencepiece", sentencepiece()},
          {"gguf_vocabulary", gguf_vocabulary()},
          {"chat_template", chat_template()},
          {"jinja", jinja()},
          {"regex", regex()},
          {"json", json()},
          {"generation_config", generation_config()},
          {"char_tokenizer", char_tokenizer()},
          {"words", words()}};
}
