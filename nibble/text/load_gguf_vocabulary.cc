#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <cmath>

#include "nibble/core/error.h"
#include "nibble/core/utf8.h"
#include "nibble/text/gguf_ends.h"
#include "nibble/text/gguf_pre_tokenizers.h"
#include "nibble/text/gguf_vocabulary.h"
#include "nibble/text/load.h"
#include "nibble/text/merge_texts.h"
#include "nibble/text/token_type.h"
#include "nibble/text/utf8.h"

namespace nibble {
namespace {

std::string gguf_key(std::string_view name) {
  return fmt::format("key \"tokenizer.ggml.{}\"", name);
}

// Runs f; what goes wrong in it is said at the key.
template <class F>
void at_gguf_key(std::string_view name, F f) {
  try {
    f();
  } catch (Error& e) {
    throw std::move(e).at(gguf_key(name));
  }
}

// "<0x0A>".
bool spells_a_byte(std::string_view token) {
  const auto hex = [](char c) { return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'F'); };
  return token.size() == 6 && token.starts_with("<0x") && token[5] == '>' && hex(token[3]) &&
         hex(token[4]);
}

class GgufReading {
 public:
  GgufReading(const GgufVocabulary& from, std::vector<std::string>& warnings)
      : from_(from), warnings_(warnings) {}

  BpeParts run() {
    choose_kind();
    check_lists();
    enter_tokens();
    read_ids();
    add_tokens();
    if (pre_ == nullptr) {
      sentencepiece();
    } else {
      byte_pairs();
    }
    add_edges();
    return std::move(parts_);
  }

 private:
  size_t count() const { return from_.tokens.size(); }
  TokenType type(int32_t id) const { return types_[static_cast<size_t>(id)]; }

  void choose_kind() {
    if (from_.model == "llama") return;
    if (from_.model != "gpt2" && from_.model != "gemma4") {
      throw unsupported(fmt::format("a tokenizer of the kind {} is not supported; \"gpt2\" and "
                                    "\"gemma4\" (BPE) and \"llama\" (SentencePiece BPE) are",
                                    in_quotes(from_.model, 40)))
          .at(gguf_key("model"));
    }
    std::string_view name = from_.model == "gemma4" ? from_.model : from_.pre;
    if (std::string missing = missing_pre_tokenizer(from_.model, from_.pre); !missing.empty()) {
      warnings_.push_back(std::move(missing));
      name = "default";
    }
    pre_ = find_gguf_pre_tokenizer(name);
    if (pre_ != nullptr) return;
    throw unsupported(fmt::format("the pre-tokenizer {} is not known", in_quotes(name, 40)))
        .at(gguf_key("pre"));
  }

  void check_lists() const {
    const auto wrong = [&](std::string_view name, size_t size) {
      return corrupt(fmt::format("{} entries for {} tokens", size, count())).at(gguf_key(name));
    };
    if (count() == 0) throw corrupt("no tokens").at(gguf_key("tokens"));
    const size_t types = from_.token_types.size(), scores = from_.scores.size();
    if (types != 0 && types != count()) throw wrong("token_type", types);
    if (scores != 0 && scores != count()) throw wrong("scores", scores);
    for (size_t i = 0; i < scores; ++i) {
      if (std::isfinite(from_.scores[i])) continue;
      throw corrupt(fmt::format("the score of token {} is not finite", i)).at(gguf_key("scores"));
    }
  }

  TokenType type_of(size_t id) const {
    const std::string& text = from_.tokens[id];
    if (text.empty()) return kUnusedToken;
    if (from_.token_types.empty()) {
      return pre_ == nullptr && spells_a_byte(text) ? kByteToken : kNormalToken;
    }
    const int32_t type = from_.token_types[id];
    if (type >= kNormalToken && type <= kByteToken) return static_cast<TokenType>(type);
    throw corrupt(fmt::format("the type {} of token {} is unknown", type, id))
        .at(gguf_key("token_type"));
  }

  void enter_tokens() {
    for (size_t i = 0; i < count(); ++i) types_.push_back(type_of(i));
    at_gguf_key("tokens", [&] {
      for (size_t i = 0; i < count(); ++i) {
        const std::string& text = from_.tokens[i];
        if (!is_utf8(text)) {
          throw corrupt(fmt::format("token {} ({}) is not UTF-8", i, in_quotes(text, 40)));
        }
        parts_.tokens.add(text.empty() ? fmt::format("[EMPTY_{}]", i) : text,
                          static_cast<int64_t>(i));
      }
    });
  }

  // A token of type "normal" that texts are made of: one character, or what merges make.
  bool is_text(int32_t id) const {
    const std::string& text = from_.tokens[static_cast<size_t>(id)];
    if (pre_ == nullptr || type(id) != kNormalToken) return false;
    if (utf8_length(text, 0) == text.size()) return true;
    return std::any_of(from_.merges.begin(), from_.merges.end(), [&](std::string_view merge) {
      if (merge.size() != text.size() + 1) return false;
      const size_t space = merge.find(' ', 1);
      return space != merge.npos && text.starts_with(merge.substr(0, space)) &&
             text.ends_with(merge.substr(space + 1));
    });
  }

  std::optional<int32_t> read_id(std::string_view name, const std::optional<int64_t>& id,
                                 std::optional<int32_t> otherwise = {}) const {
    if (!id) return otherwise;
    if (*id >= 0 && static_cast<uint64_t>(*id) < count()) return static_cast<int32_t>(*id);
    throw corrupt(fmt::format("id {} is outside the vocabulary of {}", *id, count()))
        .at(gguf_key(name));
  }

  // Not all files mark it, and its text must not become it by chance.
  void steers(const std::optional<int32_t>& id) {
    if (id && type(*id) == kNormalToken && !is_text(*id)) {
      types_[static_cast<size_t>(*id)] = kControlToken;
    }
  }

  // Where a file names none llama.cpp takes these: of SentencePiece 1 and 2, of all others 11,
  // which is Falcon's.
  void read_ids() {
    const auto assumed = [&](int32_t id) -> std::optional<int32_t> {
      if (pre_ != nullptr && pre_->name != "falcon") return std::nullopt;
      if (pre_ != nullptr) id = 11;
      const bool may = static_cast<size_t>(id) < count() &&
                       (from_.token_types.empty() || type(id) == kControlToken);
      return may ? std::optional(id) : std::nullopt;
    };
    parts_.bos = read_id("bos_token_id", from_.bos, assumed(1));
    parts_.eos = read_id("eos_token_id", from_.eos, assumed(2));
    if (const auto padding = read_id("padding_token_id", from_.padding))
      parts_.named_tokens.emplace_back("pad_token", from_.tokens[static_cast<size_t>(*padding)]);
    read_id("mask_token_id", from_.mask);
    parts_.unknown = read_id("unknown_token_id", from_.unknown);
    const auto marked = std::find(types_.begin(), types_.end(), kUnknownToken);
    if (!parts_.unknown && marked != types_.end()) {
      parts_.unknown = static_cast<int32_t>(marked - types_.begin());
    }
    read_ends();
    for (const auto& id : {parts_.bos, parts_.eos}) steers(id);
  }

  void read_ends() {
    const auto add = [&](const std::optional<int32_t>& id) {
      if (!id || std::find(parts_.ends.begin(), parts_.ends.end(), *id) != parts_.ends.end())
        return;
      steers(id);
      parts_.ends.push_back(*id);
    };
    add(read_id("eot_token_id", from_.eot));
    add(read_id("eom_token_id", from_.eom));
    for (const int64_t id : from_.ends) add(read_id("eog_token_ids", id));
    for (const int32_t id : gguf_ends_by_text(parts_.tokens)) {
      if (type(id) != kUnusedToken && !is_text(id)) add(id);
    }
  }

  // Phi-3's "<|end|>" and its like take the white space behind them along.
  bool takes_space(std::string_view token) const {
    std::string name = from_.general_name;
    std::transform(name.begin(), name.end(), name.begin(),
                   [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    if (name.find("phi-3") == name.npos && name.find("phi3") == name.npos) return false;
    return token != "<unk>" && token != "<s>" && token != "<|endoftext|>";
  }

  void add_tokens() {
    for (int32_t id = 0; static_cast<size_t>(id) < count(); ++id) {
      const TokenType kind = type(id);
      if (kind == kUnusedToken) parts_.special_ids.push_back(id);
      if (kind != kControlToken && kind != kUserDefinedToken && kind != kUnknownToken) continue;
      const std::string text(parts_.tokens.text(id));
      parts_.added.push_back({.content = text,
                              .id = id,
                              .rstrip = takes_space(text),
                              .normalized = false,
                              .special = kind != kUserDefinedToken});
    }
    parts_.special_is_no_text = true;
  }

  // Some converters give every token the same score; then ids go by it, as SentencePiece gives them
  // out: the first merge has the lowest.
  std::vector<float> ranked_scores(const std::vector<bool>& mergeable) {
    std::vector<float> scores = from_.scores;
    const auto first = std::find(mergeable.begin(), mergeable.end(), true) - mergeable.begin();
    bool differ = false;
    for (size_t i = 0; i < scores.size(); ++i) {
      differ = differ || (mergeable[i] && scores[i] != scores[static_cast<size_t>(first)]);
    }
    if (differ) return scores;
    warnings_.emplace_back(
        "tokenizer.ggml.scores does not say which merges go first: those of lower ids do");
    scores.resize(count());
    for (size_t i = 0; i < scores.size(); ++i) scores[i] = -static_cast<float>(i);
    return scores;
  }

  void sentencepiece() {
    std::vector<bool> mergeable;
    for (const TokenType kind : types_) {
      mergeable.push_back(kind == kNormalToken || kind == kUserDefinedToken);
    }
    at_gguf_key("tokens", [&] { merges_from_scores(ranked_scores(mergeable), mergeable, parts_); });
    if (from_.remove_extra_whitespaces.value_or(false)) {
      parts_.normalizers.push_back(make_single_spaces());
    }
    use_characters(true);
  }

  void use_characters(bool prefix) {
    parts_.byte_fallback = parts_.fuse_unknown = true;
    parts_.normalize_added = false;
    use_space_marks(from_.add_space_prefix.value_or(prefix), true, parts_);
    parts_.cut_before = safe_cut(parts_.tokens, kSpaceMark);
  }

  void enter_all_merges() {
    MergeTexts texts;
    at_gguf_key("merges", [&] {
      for (const std::string& merge : from_.merges) {
        const auto [left, right] = merge_halves(merge);
        texts.add(left, right);
      }
    });
    for (int32_t id = 0; texts.pairs.empty() && static_cast<size_t>(id) < count(); ++id) {
      const std::string_view text = parts_.tokens.text(id);
      if (type(id) != kNormalToken || utf8_length(text, 0) == text.size()) continue;
      throw corrupt(fmt::format("no merges, yet token {} is {}", id, in_quotes(text, 40)))
          .at(gguf_key("merges"));
    }
    parts_.merges = MergeTable(texts.pairs.size());
    enter_merges(texts, parts_.tokens, gguf_key("merges"), parts_.merges);
  }

  void byte_pairs() {
    enter_all_merges();
    parts_.ignore_merges = pre_->whole_words;
    if (pre_->nfc) parts_.normalizers.push_back(make_normal_form(NormalForm::nfc));
    for (const std::string_view pattern : pre_->patterns) {
      parts_.pre_tokenizer.splitters.push_back({Regex(pattern)});
    }
    if (pre_->characters) return use_characters(false);
    parts_.byte_level = parts_.decoder.byte_level = true;
    parts_.unknown.reset();  // every byte is a token
    if (from_.add_space_prefix.value_or(false)) parts_.pre_tokenizer.prefix = PrefixSpace::always;
  }

  void add_edges() {
    // Gemma 4 cannot do without, whatever its files say.
    const bool always = pre_ != nullptr && pre_->name == "gemma4";
    const bool assumed = pre_ == nullptr || pre_->add_bos;
    const auto add = [&](std::string_view name, bool wanted, const std::optional<int32_t>& id,
                         std::vector<int32_t>& out) {
      if (!wanted) return;
      if (!id) throw corrupt("there is no such token to add").at(gguf_key(name));
      out = {*id};
    };
    add("add_bos_token", always || from_.add_bos.value_or(assumed), parts_.bos, parts_.before);
    add("add_eos_token", from_.add_eos.value_or(false), parts_.eos, parts_.after);
  }

  const GgufVocabulary& from_;
  std::vector<std::string>& warnings_;
  const GgufPreTokenizer* pre_ = nullptr;  // of BPE; SentencePiece has none
  std::vector<TokenType> types_;           // by id
  BpeParts parts_;
};

}  // namespace

std::string missing_pre_tokenizer(std::string_view model, std::string_view pre) {
  if (model != "gpt2" || !pre.empty()) return "";
  return "missing pre-tokenizer type (tokenizer.ggml.pre): \"default\" is used, which cuts words "
         "otherwise than the model was trained with; convert the model again";
}

BpeParts parse_gguf_vocabulary(const GgufVocabulary& vocabulary,
                               std::vector<std::string>& warnings) {
  return GgufReading(vocabulary, warnings).run();
}

}  // namespace nibble
