#include <fmt/format.h>

#include <algorithm>

#include "nibble/core/error.h"
#include "nibble/text/json_tree.h"
#include "nibble/text/load.h"
#include "nibble/text/merge_texts.h"
#include "nibble/text/prefix_space.h"
#include "nibble/text/sections.h"

namespace nibble {
namespace {

// The vocabulary and the merges go where they belong, the rest into a small tree.
class TokenizerJson : public JsonHandler {
 public:
  JsonTreeBuilder tree;
  TokenTable tokens;
  MergeTexts merges;

  void on_object_begin() override {
    if (in_ == Part::tree) return down(), tree.on_object_begin();
    if (in_ == Part::vocab && level_ == 0) return void(++level_);
    odd();
  }
  void on_object_end() override {
    if (in_ == Part::vocab) return leave();
    --depth_;
    tree.on_object_end();
  }
  void on_array_begin() override {
    if (in_ == Part::tree) return down(), tree.on_array_begin();
    if (in_ == Part::vocab) return unigram();
    if (++level_ > 2) odd();
    parts_ = 0;
  }
  void on_array_end() override {
    if (in_ == Part::tree) return --depth_, tree.on_array_end();
    if (level_ == 1) return leave();
    --level_;
    if (parts_ != 2) throw corrupt(fmt::format("a merge of {} parts, expected two", parts_));
    merges.add(left_, right_);
  }
  void on_key(std::string_view key) override {
    if (in_ == Part::vocab) {
      token_ = key;
      return;
    }
    if (depth_ == 1) in_model_ = key == "model";
    if (depth_ == 2 && in_model_ && (key == "vocab" || key == "merges")) {
      in_ = key == "vocab" ? Part::vocab : Part::merges;
      level_ = 0;
      return;
    }
    tree.on_key(key);
  }
  void on_string(std::string_view text) override {
    if (in_ == Part::tree) return tree.on_string(text);
    if (in_ != Part::merges || level_ == 0) odd();
    if (level_ == 1) {
      const auto [left, right] = merge_halves(text);
      return merges.add(left, right);
    }
    if (++parts_ > 2) return;
    (parts_ == 1 ? left_ : right_) = text;
  }
  void on_integer(int64_t value) override {
    if (in_ == Part::tree) return tree.on_integer(value);
    if (in_ != Part::vocab || level_ != 1) odd();
    tokens.add(token_, value, true);
  }
  void on_number(double value, std::string_view text) override {
    if (in_ != Part::tree) odd();
    tree.on_number(value, text);
  }
  void on_boolean(bool value) override {
    if (in_ != Part::tree) odd();
    tree.on_boolean(value);
  }
  void on_null() override {
    if (in_ != Part::tree) odd();
    tree.on_null();
  }

 private:
  enum class Part { tree, vocab, merges };

  void down() { ++depth_; }
  void leave() { in_ = Part::tree; }
  [[noreturn]] void odd() const {
    throw corrupt(in_ == Part::vocab ? "expected an object of tokens and their ids"
                                     : "expected an array of merges, each of two texts")
        .at(in_ == Part::vocab ? "key \"model.vocab\"" : "key \"model.merges\"");
  }
  [[noreturn]] static void unigram() {
    throw unsupported("a vocabulary with scores (Unigram) is not supported; only BPE is")
        .at("key \"model.vocab\"");
  }

  Part in_ = Part::tree;
  int depth_ = 0, level_ = 0, parts_ = 0;
  bool in_model_ = false;
  std::string token_, left_, right_;
};

void read_model(const JsonNode& model, BpeParts& parts) {
  if (const std::string type = model.string_or("type", "BPE"); type != "BPE") {
    throw model.at("type").not_supported("a model of type " + in_quotes(type) + " (only BPE is)");
  }
  model.only({"type", "dropout", "unk_token", "continuing_subword_prefix", "end_of_word_suffix",
              "fuse_unk", "byte_fallback", "ignore_merges"});
  for (const char* name : {"continuing_subword_prefix", "end_of_word_suffix"}) {
    if (!model.string_or(name, "").empty()) throw model.at(name).not_supported("this setting");
  }
  if (const JsonNode* dropout = model.find("dropout");
      dropout != nullptr && dropout->text != "0.0" &&
      !(dropout->type == JsonNode::Type::integer && dropout->integer == 0)) {
    throw dropout->not_supported("dropout");
  }
  parts.byte_fallback = model.boolean_or("byte_fallback", false);
  parts.fuse_unknown = model.boolean_or("fuse_unk", false);
  parts.ignore_merges = model.boolean_or("ignore_merges", false);
  if (model.find("unk_token") == nullptr) return;
  const std::string unknown = model.string("unk_token");
  parts.unknown = parts.tokens.find(unknown);
  if (*parts.unknown < 0) {
    throw corrupt(fmt::format("{} is not in the vocabulary", in_quotes(unknown)))
        .at("key \"model.unk_token\"");
  }
}

}  // namespace

BpeParts parse_tokenizer_json(std::string_view json, const TokenizerConfig& config) {
  TokenizerJson file;
  parse_json(json, file);
  set_prefix_space(config, file.tree.root);
  const JsonNode& root = file.tree.root;
  root.only({"version", "truncation", "padding", "added_tokens", "normalizer", "pre_tokenizer",
             "post_processor", "decoder", "model"});
  BpeParts parts;
  parts.tokens = std::move(file.tokens);
  read_model(root.at("model"), parts);
  parts.merges = MergeTable(file.merges.pairs.size());
  enter_merges(file.merges, parts.tokens, "key \"model.merges\"", parts.merges);
  if (root.find("added_tokens") != nullptr) {
    for (const JsonNode& node : root.elements("added_tokens")) read_added_token(node, parts);
  }
  parts.tokens.check_complete();
  if (const JsonNode* node = root.find("normalizer")) read_normalizer(*node, parts);
  if (const JsonNode* node = root.find("pre_tokenizer")) read_pre_tokenizer(*node, parts);
  if (const JsonNode* node = root.find("post_processor")) read_post_processor(*node, parts);
  if (const JsonNode* node = root.find("decoder")) {
    read_decoder(*node, parts.decoder);
  } else {
    throw unsupported("a file without a decoder is not supported").at("key \"decoder\"");
  }
  if (!parts.byte_level) parts.cut_before = safe_cut(parts.tokens, kSpaceMark);
  return parts;
}

TokenTable parse_vocab(std::string_view json) {
  class Vocabulary : public JsonHandler {
   public:
    TokenTable tokens;
    void on_object_begin() override {
      if (depth_++ > 0) throw corrupt("expected ids, found an object");
    }
    void on_array_begin() override { throw corrupt("expected tokens and their ids"); }
    void on_key(std::string_view key) override { token_ = key; }
    void on_integer(int64_t id) override {
      if (depth_ == 0) throw corrupt("expected an object of tokens and their ids");
      tokens.add(token_, id, true);
    }
    void on_number(double, std::string_view) override { odd(); }
    void on_string(std::string_view) override { odd(); }
    void on_boolean(bool) override { odd(); }
    void on_null() override { odd(); }

   private:
    static void odd() { throw corrupt("expected an id, a whole number"); }
    int depth_ = 0;
    std::string token_;
  } file;
  parse_json(json, file);
  return std::move(file.tokens);
}

BpeParts parse_merges(TokenTable tokens, std::string_view merges, const TokenizerConfig& config) {
  MergeTexts texts;
  int64_t line_number = 0;
  for (size_t begin = 0; begin < merges.size(); ++line_number) {
    const size_t end = std::min(merges.find('\n', begin), merges.size());
    std::string_view line = merges.substr(begin, end - begin);
    begin = end + 1;
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (line.empty() || (line_number == 0 && line.starts_with("#version"))) continue;
    try {
      const auto [left, right] = merge_halves(line);
      texts.add(left, right);
    } catch (Error& e) {
      throw std::move(e).at(fmt::format("line {}", line_number + 1));
    }
  }
  BpeParts parts;
  parts.tokens = std::move(tokens);
  parts.merges = MergeTable(texts.pairs.size());
  enter_merges(texts, parts.tokens, "", parts.merges);
  const std::string& kind = config.tokenizer_class;
  const bool qwen = kind.starts_with("Qwen2Tokenizer");
  if (!qwen && !kind.empty() && !kind.starts_with("GPT2Tokenizer")) {
    throw unsupported(
        fmt::format("vocab.json and merges.txt of a {}; use its tokenizer.json", in_quotes(kind)))
        .at("key \"tokenizer_class\"");
  }
  if (qwen) parts.normalizers.push_back(make_normal_form(NormalForm::nfc));
  if (qwen && config.add_prefix_space.value_or(false)) {
    throw config.not_supported("add_prefix_space", "a space before every word");
  }
  if (config.add_prefix_space.value_or(false)) parts.pre_tokenizer.prefix = PrefixSpace::always;
  parts.pre_tokenizer.splitters.push_back({Regex(qwen ? kQwen2Pattern : kGpt2Pattern)});
  parts.byte_level = parts.decoder.byte_level = true;
  // The vocabulary holds GPT-2's special token without saying so.
  constexpr std::string_view kEnd = "<|endoftext|>";
  if (const int32_t id = parts.tokens.find(kEnd); id >= 0) {
    parts.added.push_back(
        {.content = std::string(kEnd), .id = id, .normalized = false, .special = true});
  }
  return parts;
}

}  // namespace nibble
