// What happens to a text before it is cut: Unicode normal forms, replacements, prefixes.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "nibble/core/regex.h"

namespace nibble {

enum class NormalForm { nfc, nfd, nfkc, nfkd };

/// Unicode Standard Annex 15, by utf8proc's tables; linear but for sorting marks (n log n).
std::string normal_form(std::string_view text, NormalForm form);

/// Error{corrupt}: what a file asks for makes more of a text than texts can need.
[[noreturn]] void grown_too_long(size_t most);

/// `text` with `to` in place of every `from`, which is not empty. grown_too_long() above `most`
/// bytes.
std::string replaced(std::string_view text, std::string_view from, std::string_view to,
                     size_t most);

/// A text of `bytes` bytes may become this long: Unicode's own forms make at most 11 of one.
constexpr size_t most_grown(size_t bytes) { return 32 * bytes + 1024; }

/// What the steps need beside a text.
struct Normalizing {
  RegexScratch& regex;
  size_t most;        ///< bytes that a step may make of it
  bool first = true;  ///< it begins the whole text
};

/// One step: valid UTF-8 to valid UTF-8.
class Normalizer {
 public:
  virtual ~Normalizer() = default;
  virtual std::string apply(std::string text, const Normalizing& with) const = 0;
  /// What it does, for people, and to tell the usual steps from others.
  virtual std::string name() const = 0;
};

using Normalizers = std::vector<std::unique_ptr<Normalizer>>;

/// All steps, one after another. grown_too_long() where one makes more than most_grown() of the
/// text's length.
std::string normalized(const Normalizers& steps, std::string text, bool first, RegexScratch& regex);

std::unique_ptr<Normalizer> make_normal_form(NormalForm form);
std::unique_ptr<Normalizer> make_lowercase();
/// Puts `prefix` before every text that is not empty, or `only_first` before the first part.
std::unique_ptr<Normalizer> make_prepend(std::string prefix, bool only_first = false);
/// Every match becomes `content`, as it stands.
std::unique_ptr<Normalizer> make_replace(Regex pattern, std::string content);
std::unique_ptr<Normalizer> make_replace(std::string pattern, std::string content);
/// Takes white space off the ends.
std::unique_ptr<Normalizer> make_strip(bool left, bool right);
/// Leading and trailing spaces go, runs of them become one (SentencePiece).
std::unique_ptr<Normalizer> make_single_spaces();

}  // namespace nibble
