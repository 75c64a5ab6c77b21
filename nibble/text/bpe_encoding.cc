#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <functional>

#include "nibble/core/error.h"
#include "nibble/text/bpe_tokenizer.h"
#include "nibble/text/byte_level.h"
#include "nibble/text/utf8.h"

namespace nibble {
namespace {

void check_length(size_t bytes) {
  constexpr size_t kMaxText = size_t{1} << 30;
  if (bytes <= kMaxText) return;
  throw invalid_argument(fmt::format("a text of {} bytes, limit {}", bytes, kMaxText));
}

}  // namespace

// One text on its way to ids; everything it needs only for that.
class BpeTokenizer::Encoding {
 public:
  Encoding(const BpeTokenizer& tokenizer, size_t text_size)
      : t_(tokenizer),
        parts_(tokenizer.parts_),
        merger_(parts_.merges),
        regex_(2 * text_size + 64) {}

  std::vector<int32_t> ids;

  // `text` is all parts one behind another.
  void run_parts(std::string_view text, std::span<const TextPart> parts) {
    plain_ = true;
    size_t done = 0, at = 0;
    const auto token = [&](TextRange range, int32_t id) {
      if (id < 0) return;
      plain(text, done, range.begin);
      ids.push_back(id);
      done = range.end;
    };
    for (const TextPart& part : parts) {
      const size_t begin = at;
      at += part.text.size();
      if (part.id >= 0) {
        token({begin, at}, part.id);
      } else if (!part.literal) {
        t_.special_raw_.split(part.text, [&](TextRange range, int32_t id) {
          token({begin + range.begin, begin + range.end}, id);
        });
      }
    }
    plain(text, done, at);
  }

  void run(std::string_view text) {
    t_.raw_.split(text, [&](TextRange part, int32_t id) {
      if (id >= 0) {
        ids.push_back(id);
      } else {
        segment(text.substr(part.begin, part.size()), part.begin == 0);
      }
    });
  }

 private:
  // A word that came before: where it stood and which of the ids are its own.
  struct Known {
    std::string_view word;
    size_t begin = 0, count = 0;
  };

  // A stretch without special tokens.
  void plain(std::string_view text, size_t begin, size_t end) {
    if (begin == end) return;
    const std::string_view all = text.substr(begin, end - begin);
    t_.plain_raw_.split(all, [&](TextRange part, int32_t id) {
      if (id >= 0) {
        ids.push_back(id);
      } else {
        segment(all.substr(part.begin, part.size()), begin + part.begin == 0);
      }
    });
  }

  void segment(std::string_view given, bool first) {
    const std::string text = in_section(parts_.file, "normalizer", [&] {
      return normalized(parts_.normalizers, std::string(given), first, regex_);
    });
    const AddedTokens& added = plain_ ? t_.plain_normalized_ : t_.normalized_;
    added.split(text, [&](TextRange part, int32_t id) {
      if (id >= 0) {
        ids.push_back(id);
      } else {
        words(text.substr(part.begin, part.size()), first && part.begin == 0);
      }
    });
  }

  void words(std::string text, bool first) {
    text = parts_.pre_tokenizer.prepared(std::move(text), first);
    const auto all = in_section(parts_.file, "pre_tokenizer",
                                [&] { return parts_.pre_tokenizer.split(text, regex_); });
    known_.assign(std::min<size_t>(8192, std::bit_ceil(text.size() / 8 + 1)), {});
    for (const TextRange part : all) {
      const auto whole = std::string_view(text).substr(part.begin, part.size());
      if (parts_.cut_before.empty()) {
        word(whole);
      } else {
        cut(whole);
      }
    }
    known_.clear();
  }

  // Before each mark that does not follow another one.
  void cut(std::string_view whole) {
    const std::string& mark = parts_.cut_before;
    size_t begin = 0;
    for (size_t at = whole.find(mark, 0); at != std::string_view::npos;) {
      if (at > begin && !whole.substr(0, at).ends_with(mark)) {
        word(whole.substr(begin, at - begin));
        begin = at;
      }
      at = whole.find(mark, at + mark.size());
    }
    if (begin < whole.size()) word(whole.substr(begin));
  }

  void word(std::string_view text) {
    constexpr size_t kLongestKept = 64;
    if (text.size() > kLongestKept) return encode_word(text);
    const size_t slot = std::hash<std::string_view>()(text) & (known_.size() - 1);
    Known& known = known_[slot];
    if (known.word == text) {
      for (size_t i = 0; i < known.count; ++i) ids.push_back(ids[known.begin + i]);
      return;
    }
    const size_t begin = ids.size();
    encode_word(text);
    known = {text, begin, ids.size() - begin};
  }

  void encode_word(std::string_view text) {
    if (parts_.ignore_merges) {
      const int32_t whole =
          parts_.tokens.find(parts_.byte_level ? byte_level_spelling(text) : std::string(text));
      const bool steers = (parts_.special_is_no_text || plain_) && t_.is_special(whole);
      if (whole >= 0 && !steers) return ids.push_back(whole);
    }
    symbols_.clear();
    symbols_.reserve(text.size());
    if (parts_.byte_level) {
      for (const char c : text) byte_symbol(static_cast<uint8_t>(c));
    } else {
      character_symbols(text);
    }
    merger_.run(symbols_);
    if (parts_.hidden.size() == 0) {
      ids.insert(ids.end(), symbols_.begin(), symbols_.end());
    } else {
      emit();
    }
  }

  void byte_symbol(uint8_t byte) {
    const int32_t id = t_.byte_ids_[byte];
    if (id >= 0) {
      symbols_.push_back(id);
    } else if (parts_.unknown) {
      unknown();
    }  // else it is lost, as in Hugging Face's tokenizers
  }

  void character_symbols(std::string_view text) {
    for (std::string_view rest = text; !rest.empty();) {
      const std::string_view before = rest;
      take_code_point(rest, text);
      const auto character = before.substr(0, before.size() - rest.size());
      if (const int32_t id = parts_.tokens.find(character);
          id >= 0 && !((parts_.special_is_no_text || plain_) && t_.is_special(id))) {
        symbols_.push_back(id);
      } else if (const int32_t hidden = parts_.hidden.find(character); hidden >= 0) {
        symbols_.push_back(parts_.tokens.size() + hidden);
      } else {
        no_token(character, symbols_);
      }
    }
  }

  // A character that is no token: its bytes, or unknown.
  void no_token(std::string_view character, std::vector<int32_t>& out) {
    if (parts_.byte_fallback && t_.all_bytes_) {
      for (const char c : character) out.push_back(t_.byte_ids_[static_cast<uint8_t>(c)]);
    } else if (parts_.unknown &&
               (!parts_.fuse_unknown || out.empty() || out.back() != *parts_.unknown)) {
      out.push_back(*parts_.unknown);
    }
  }

  void unknown() {
    if (parts_.fuse_unknown && !symbols_.empty() && symbols_.back() == *parts_.unknown) return;
    symbols_.push_back(*parts_.unknown);
  }

  // The symbols of a word, where characters that only stand inside of tokens are among them: left
  // over they are no tokens, and unknown ones next to each other become one.
  void emit() {
    const int32_t size = parts_.tokens.size();
    word_.clear();
    for (const int32_t symbol : symbols_) {
      const bool fused = parts_.fuse_unknown && symbol == parts_.unknown && !word_.empty() &&
                         word_.back() == symbol;
      if (symbol >= size) {
        no_token(parts_.hidden.text(symbol - size), word_);
      } else if (!fused) {
        word_.push_back(symbol);
      }
    }
    ids.insert(ids.end(), word_.begin(), word_.end());
  }

  const BpeTokenizer& t_;
  const BpeParts& parts_;
  Merger merger_;
  RegexScratch regex_;
  std::vector<int32_t> symbols_, word_;
  std::vector<Known> known_;  // a slot for each hash
  bool plain_ = false;        // no special token comes of a text
};

std::vector<int32_t> BpeTokenizer::encode(std::string_view text, bool add_special) const {
  check_length(text.size());
  Encoding encoding(*this, text.size());
  if (add_special) encoding.ids = parts_.before;
  if (is_utf8(text)) {
    encoding.run(text);
  } else {
    encoding.run(repaired_utf8(text));
  }
  if (add_special) {
    encoding.ids.insert(encoding.ids.end(), parts_.after.begin(), parts_.after.end());
  }
  return std::move(encoding.ids);
}

std::vector<int32_t> BpeTokenizer::encode_parts(std::span<const TextPart> parts) const {
  std::string text;
  for (const TextPart& part : parts) {
    if (!is_utf8(part.text)) throw invalid_argument("a part of the text is not UTF-8");
    text += part.text;
    check_length(text.size());
  }
  Encoding encoding(*this, text.size());
  encoding.run_parts(text, parts);
  return std::move(encoding.ids);
}

}  // namespace nibble
