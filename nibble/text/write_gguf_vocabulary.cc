#include <fmt/format.h>

#include <algorithm>

#include "nibble/core/error.h"
#include "nibble/text/byte_level.h"
#include "nibble/text/gguf_ends.h"
#include "nibble/text/gguf_pre_tokenizers.h"
#include "nibble/text/gguf_scores.h"
#include "nibble/text/gguf_vocabulary.h"
#include "nibble/text/load.h"
#include "nibble/text/space_habits.h"
#include "nibble/text/token_type.h"

namespace nibble {
namespace {

Error not_in_gguf(std::string_view what) {
  return unsupported(fmt::format("the tokenizer has {}, which a GGUF file cannot say", what));
}

class GgufWriting {
 public:
  GgufWriting(const BpeParts& parts, int64_t rows, std::vector<std::string>& warnings)
      : parts_(parts), warnings_(warnings), rows_(static_cast<int32_t>(rows)) {}

  GgufVocabulary run() {
    find_types();
    if (parts_.byte_level) {
      byte_pairs();
    } else {
      characters();
    }
    write_tokens();
    write_edges();
    write_ends();
    return std::move(out_);
  }

 private:
  int32_t count() const { return parts_.tokens.size(); }
  int32_t& type(int32_t id) { return types_[static_cast<size_t>(id)]; }
  bool has_row(int32_t id) const { return id < rows_; }

  void find_types() {
    types_.assign(static_cast<size_t>(count()), kNormalToken);
    for (const int32_t id : parts_.special_ids) {
      const std::string_view text = parts_.tokens.text(id);
      const bool filler = text == filler_text(id) || text == fmt::format("[EMPTY_{}]", id);
      type(id) = filler ? kUnusedToken : kControlToken;
    }
    for (const auto* ids : {&parts_.before, &parts_.after}) {
      for (const int32_t id : *ids) type(id) = kControlToken;
    }
    for (const AddedToken& token : parts_.added) {
      type(token.id) = token.special ? kControlToken : kUserDefinedToken;
    }
    for (int32_t id = 0; id < count(); ++id) {
      if (!parts_.tokens.contains(id)) type(id) = kUnusedToken;
    }
    warn_of_white_space();
  }

  void warn_of_white_space() {
    for (const AddedToken& token : parts_.added) {
      if (!token.lstrip && !token.rstrip && !token.single_word) continue;
      warnings_.push_back(fmt::format(
          "{} minds the characters beside it, which a GGUF file cannot say: white space beside it "
          "becomes tokens of its own",
          in_quotes(token.content, 40)));
      return;
    }
  }

  static std::string filler_text(int32_t id) { return fmt::format("[PAD{}]", id); }

  void byte_pairs() {
    const Normalizers& steps = parts_.normalizers;
    const PreTokenizer& cut = parts_.pre_tokenizer;
    const bool nfc = steps.size() == 1 && steps[0]->name() == "NFC";
    if (!nfc && !steps.empty()) {
      throw not_in_gguf(fmt::format("the normalizer {}", in_quotes(steps[0]->name(), 60)));
    }
    if (!cut.space.empty() || cut.prefix == PrefixSpace::first) {
      throw not_in_gguf("marks for spaces before it cuts bytes");
    }
    for (int b = 0; b < 256 && parts_.unknown; ++b) {
      const std::string byte(1, static_cast<char>(b));
      if (parts_.tokens.find(byte_level_spelling(byte)) >= 0) continue;
      throw not_in_gguf("bytes that are no tokens and become unknown");
    }
    const GgufPreTokenizer* pre = gguf_pre_tokenizer_like(cut.splitters, parts_.ignore_merges, nfc);
    if (pre == nullptr) throw unknown_cut(nfc);
    out_.model = "gpt2";
    out_.pre = pre->name;
    if (cut.prefix == PrefixSpace::always) {
      out_.add_space_prefix = true;
      warnings_.emplace_back(
          "the tokenizer puts a space before a text, and llama.cpp does not for its kind");
    }
    write_merges();
  }

  Error unknown_cut(bool nfc) const {
    std::string patterns;
    for (const Splitter& splitter : parts_.pre_tokenizer.splitters) {
      patterns += fmt::format(" {}", in_quotes(splitter.pattern.pattern(), 60));
    }
    return not_in_gguf(fmt::format(
        "a way to cut words without a name (patterns{}{}{})", patterns.empty() ? " none" : patterns,
        nfc ? ", NFC" : "", parts_.ignore_merges ? ", words that are tokens stay whole" : ""));
  }

  void write_merges() {
    for (const MergeOfTwo& merge : parts_.merges.by_rank()) {
      const std::string_view left = parts_.tokens.text(merge.left),
                             right = parts_.tokens.text(merge.right);
      if (left.find(' ') != left.npos || right.find(' ') != right.npos) {
        throw not_in_gguf("merges of tokens with spaces");
      }
      out_.merges.push_back(fmt::format("{} {}", left, right));
    }
  }

  void characters() {
    const std::optional<SpaceHabits> habits = space_habits(parts_);
    if (!habits) throw not_in_gguf("other steps than marks for spaces before it merges characters");
    if (parts_.ignore_merges) throw not_in_gguf("words of characters that stay whole");
    const std::string mark = std::string(kSpaceMark) + "a";
    if (parts_.decoder.replaced_in(mark, 64) != " a" || !parts_.decoder.byte_fallback) {
      throw not_in_gguf("a decoder other than SentencePiece's");
    }
    mark_bytes();
    if (parts_.unknown && has_row(*parts_.unknown)) {
      type(*parts_.unknown) = kUnknownToken;
      out_.unknown = *parts_.unknown;
    }
    if (std::optional<std::vector<float>> scores = scores_from_merges(parts_, types_)) {
      out_.model = "llama";
      out_.pre = "default";
      out_.scores = std::move(*scores);
    } else {
      merges_of_characters(*habits);
    }
    out_.add_space_prefix = habits->prefix;
    if (habits->single) out_.remove_extra_whitespaces = true;
    warn_of_spaces(*habits);
  }

  void mark_bytes() {
    for (int b = 0; b < 256; ++b) {
      const int32_t id = parts_.tokens.find(fmt::format("<0x{:02X}>", b));
      if (id < 0 || !has_row(id) || !parts_.byte_fallback) {
        throw not_in_gguf("characters without tokens for their bytes");
      }
      type(id) = kByteToken;
    }
  }

  // Only as Gemma 4's, which adds BOS and no space, and whose newlines are words of their own.
  void merges_of_characters(const SpaceHabits& habits) {
    const bool bos = parts_.bos && parts_.before == std::vector{*parts_.bos};
    bool lines = true;
    for (int32_t id = 0; id < count(); ++id) {
      if (!parts_.tokens.contains(id) || type(id) != kNormalToken) continue;
      const std::string_view text = parts_.tokens.text(id);
      const bool some = text.find('\n') != text.npos,
                 all = text.find_first_not_of('\n') == text.npos;
      lines = lines && (!some || all);
    }
    if (!bos || habits.prefix || habits.single || !lines || parts_.hidden.size() > 0) {
      throw not_in_gguf("merges of characters in an order that scores of tokens cannot give");
    }
    out_.model = "gemma4";
    write_merges();
  }

  void warn_of_spaces(const SpaceHabits& habits) {
    if (habits.prefix && !habits.each) {
      warnings_.emplace_back(
          "in a GGUF file a space is put behind special tokens as well, not only before a text");
    }
    if (habits.unless) {
      warnings_.emplace_back("in a GGUF file a space is put before texts that begin with one, too");
    }
  }

  void write_tokens() {
    const int32_t left_out = std::max(0, count() - rows_);
    if (left_out > 0) {
      warnings_.push_back(
          fmt::format("{} tokens have no row in the embedding and are left out", left_out));
      // Ids behind the tokens are characters that are none.
      const auto lacks_row = [&](int32_t id) { return !has_row(id) && id < count(); };
      for (const MergeOfTwo& merge : parts_.merges.by_rank()) {
        if (!lacks_row(merge.left) && !lacks_row(merge.right) && has_row(merge.merge.id)) continue;
        throw corrupt(fmt::format("a merge makes token {}, yet the embedding has {} rows",
                                  merge.merge.id, rows_));
      }
    }
    for (int32_t id = 0; id < rows_; ++id) {
      const bool there = parts_.tokens.contains(id);
      out_.tokens.push_back(there ? std::string(parts_.tokens.text(id)) : unused_name(id));
    }
    respell();
    types_.resize(static_cast<size_t>(rows_), kUnusedToken);
    if (!out_.scores.empty()) out_.scores.resize(types_.size(), -10000.0F);
    out_.token_types = std::move(types_);
  }

  // SentencePiece looks for its own tokens among marks, GGUF's readers in the text as it stands.
  void respell() {
    for (const AddedToken& token : parts_.added) {
      if (token.special || !token.normalized || parts_.normalize_added) continue;
      if (!has_row(token.id)) continue;
      std::string& text = out_.tokens[static_cast<size_t>(token.id)];
      text = replaced(text, kSpaceMark, " ", text.size());
    }
  }

  std::string unused_name(int32_t id) const {
    std::string name = filler_text(id);
    while (parts_.tokens.find(name) >= 0) name += '_';
    return name;
  }

  void write_edges() {
    const auto as_id = [&](const std::optional<int32_t>& id) {
      return id && has_row(*id) ? std::optional<int64_t>(*id) : std::nullopt;
    };
    out_.bos = as_id(parts_.bos);
    out_.eos = as_id(parts_.eos);
    out_.add_bos = edge(parts_.before, out_.bos, "before");
    out_.add_eos = edge(parts_.after, out_.eos, "behind");
  }

  // Whether `ids` is the one token `id`, which takes its place where there is none yet.
  bool edge(const std::vector<int32_t>& ids, std::optional<int64_t>& id, std::string_view where) {
    if (ids.empty()) return false;
    if (ids.size() == 1 && has_row(ids[0])) {
      if (!id) id = ids[0];
      if (*id == ids[0]) return true;
    }
    warnings_.push_back(fmt::format(
        "the tokenizer puts {} {} a text, where a GGUF file can only name BOS or EOS: none is put "
        "there",
        in_quotes(parts_.tokens.text(ids[0]), 40), where));
    return false;
  }

  // All readers find most by their text; few know a list of the others.
  void write_ends() {
    std::vector<int32_t> others = parts_.ends;
    const std::vector<int32_t> known = gguf_ends_by_text(parts_.tokens);
    std::erase_if(others, [&](int32_t id) {
      return !has_row(id) || id == parts_.eos ||
             std::find(known.begin(), known.end(), id) != known.end();
    });
    if (!others.empty()) out_.eot = others[0];
    if (others.size() > 1) out_.eom = others[1];
    if (others.size() > 2) out_.ends.assign(others.begin() + 2, others.end());
  }

  const BpeParts& parts_;
  std::vector<std::string>& warnings_;
  int32_t rows_;
  std::vector<int32_t> types_;  // by id
  GgufVocabulary out_;
};

}  // namespace

GgufVocabulary gguf_vocabulary(const Tokenizer& tokenizer, int64_t rows,
                               std::vector<std::string>& warnings) {
  const BpeParts* parts = tokenizer.bpe_parts();
  if (parts == nullptr) throw not_in_gguf(tokenizer.kind());
  if (rows < 1 || rows > kMaxTokens) {
    throw invalid_argument(
        fmt::format("the rows of an embedding must be 1 to {} (got {})", kMaxTokens, rows));
  }
  try {
    return GgufWriting(*parts, rows, warnings).run();
  } catch (Error& e) {
    e.set_file(parts->file);
    throw;
  }
}

}  // namespace nibble
