#include "nibble/text/char_tokenizer.h"

#include <fmt/format.h>

#include <algorithm>

#include "nibble/core/error.h"
#include "nibble/core/json.h"
#include "nibble/text/line_data.h"
#include "nibble/text/utf8.h"

namespace nibble {
namespace {

constexpr std::string_view kType = "nibble.characters";

std::string utf8_of(char32_t c) {
  std::string out;
  append_utf8(out, c);
  return out;
}

char32_t single_character(const std::string& text) {
  std::string_view rest = text;
  if (!rest.empty()) {
    const char32_t c = take_code_point(rest, text);
    if (rest.empty()) return c;
  }
  throw corrupt(fmt::format("each entry must be one character (got {})", in_quotes(text)))
      .at("key \"characters\"");
}

}  // namespace

CharTokenizer CharTokenizer::from_text(std::string_view text, bool with_bos) {
  std::u32string all = decode_utf8(text);
  if (with_bos) {
    // The characters of the documents: what stripping takes off is not data.
    all.clear();
    for (const std::string& line : split_lines(text)) all += decode_utf8(line);
  }
  std::sort(all.begin(), all.end());
  all.erase(std::unique(all.begin(), all.end()), all.end());
  return CharTokenizer({all.begin(), all.end()}, with_bos);
}

CharTokenizer::CharTokenizer(std::vector<char32_t> characters, bool with_bos)
    : characters_(std::move(characters)), with_bos_(with_bos) {
  const auto not_above = std::adjacent_find(characters_.begin(), characters_.end(),
                                            [](char32_t a, char32_t b) { return a >= b; });
  if (not_above != characters_.end()) {
    throw corrupt(fmt::format("characters must stand in ascending order, each once (see {})",
                              in_quotes(utf8_of(*not_above))))
        .at("key \"characters\"");
  }
}

int32_t CharTokenizer::vocab_size() const {
  return static_cast<int32_t>(characters_.size()) + (with_bos_ ? 1 : 0);
}

std::optional<int32_t> CharTokenizer::bos() const {
  if (!with_bos_) return std::nullopt;
  return static_cast<int32_t>(characters_.size());
}

SpecialEdges CharTokenizer::edges() const {
  return with_bos_ ? SpecialEdges{{*bos()}, {}} : SpecialEdges{};
}

std::vector<int32_t> CharTokenizer::encode(std::string_view text) const {
  std::vector<int32_t> ids;
  ids.reserve(text.size());
  for (std::string_view rest = text; !rest.empty();) {
    const auto offset = rest.data() - text.data();
    const char32_t c = take_code_point(rest, text);
    const auto at = std::lower_bound(characters_.begin(), characters_.end(), c);
    if (at == characters_.end() || *at != c) {
      throw invalid_argument(fmt::format(
          "character {} (U+{:04X}) at byte {} is none of the {} the model was trained on",
          in_quotes(utf8_of(c)), static_cast<uint32_t>(c), offset, characters_.size()));
    }
    ids.push_back(static_cast<int32_t>(at - characters_.begin()));
  }
  return ids;
}

std::vector<int32_t> CharTokenizer::encode(std::string_view text, bool add_special) const {
  std::vector<int32_t> ids = encode(text);
  if (add_special && with_bos_) ids.insert(ids.begin(), *bos());
  return ids;
}

std::vector<int32_t> CharTokenizer::encode_parts(std::span<const TextPart> parts) const {
  std::vector<int32_t> ids;
  for (const TextPart& part : parts) {
    const auto more = part.id >= 0 ? std::vector<int32_t>{part.id} : encode(part.text);
    ids.insert(ids.end(), more.begin(), more.end());
  }
  return ids;
}

std::string CharTokenizer::token_text(int32_t id) const {
  if (id < 0 || id >= vocab_size()) {
    throw invalid_argument(
        fmt::format("token {} is outside the vocabulary of {}", id, vocab_size()));
  }
  return bos() == id ? "<BOS>" : utf8_of(characters_[static_cast<size_t>(id)]);
}

void CharTokenizer::append_piece(int32_t id, DecodeState&, std::string& out) const {
  if (id >= vocab_size()) return;
  const std::string text = token_text(id);
  if (bos() != id) out += text;
}

std::string CharTokenizer::decode(std::span<const int32_t> ids) const {
  return Tokenizer::decode(ids, true);
}

std::string CharTokenizer::to_json() const {
  std::vector<std::string> characters;
  for (char32_t c : characters_) characters.push_back(utf8_of(c));
  JsonWriter out;
  out.begin_object().field("type", kType).field("bos", with_bos_);
  out.array("characters", characters).end_object();
  return out.finish();
}

CharTokenizer CharTokenizer::from_json(std::string_view json) {
  const JsonFields fields = JsonFields::parse(json);
  if (const std::string type = fields.string("type"); type != kType) {
    throw unsupported(fmt::format("expected {} (got {})", in_quotes(kType), in_quotes(type)))
        .at("key \"type\"");
  }
  std::vector<char32_t> characters;
  for (const std::string& c : fields.strings("characters")) {
    characters.push_back(single_character(c));
  }
  if (characters.empty()) throw corrupt("no characters").at("key \"characters\"");
  return CharTokenizer(std::move(characters), fields.boolean("bos"));
}

}  // namespace nibble
