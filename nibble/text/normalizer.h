// What happens to a text before it is cut: Unicode normal forms, replacements, prefixes.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "nibble/text/regex.h"

namespace nibble {

enum class NormalForm { nfc, nfd, nfkc, nfkd };

/// Unicode Standard Annex 15, by utf8proc's tables; linear but for sorting marks (n log n).
std::string normal_form(std::string_view text, NormalForm form);

/// `text` with `to` in place of every `from`, which is not empty.
std::string replaced(std::string_view text, std::string_view from, std::string_view to);

/// Valid UTF-8 to valid UTF-8.
class Normalizer {
 public:
  virtual ~Normalizer() = default;
  virtual std::string apply(std::string text) const = 0;
};

using Normalizers = std::vector<std::unique_ptr<Normalizer>>;

std::unique_ptr<Normalizer> make_normal_form(NormalForm form);
std::unique_ptr<Normalizer> make_lowercase();
/// Puts `prefix` before every text that is not empty.
std::unique_ptr<Normalizer> make_prepend(std::string prefix);
/// Every match becomes `content`, as it stands.
std::unique_ptr<Normalizer> make_replace(Regex pattern, std::string content);
std::unique_ptr<Normalizer> make_replace(std::string pattern, std::string content);
/// Takes white space off the ends.
std::unique_ptr<Normalizer> make_strip(bool left, bool right);
/// Leading and trailing spaces go, runs of them become one (SentencePiece).
std::unique_ptr<Normalizer> make_single_spaces();

}  // namespace nibble
