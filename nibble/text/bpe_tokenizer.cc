#include "nibble/text/bpe_tokenizer.h"

#include <fmt/format.h>

#include <algorithm>
#include <functional>

#include "nibble/core/error.h"
#include "nibble/text/byte_level.h"
#include "nibble/text/utf8.h"

namespace nibble {
namespace {

// "<0x0A>" -> 10; -1 for anything else.
int byte_of(std::string_view token) {
  if (token.size() != 6 || !token.starts_with("<0x") || token[5] != '>') return -1;
  int value = 0;
  for (const char c : token.substr(3, 2)) {
    const bool digit = c >= '0' && c <= '9';
    const auto lower = static_cast<char>(c | 0x20);
    if (!digit && (lower < 'a' || lower > 'f')) return -1;
    value = value * 16 + (digit ? c - '0' : lower - 'a' + 10);
  }
  return value;
}

// The added tokens that `wanted` takes, as they are looked for.
AddedTokens tokens_looked_for(const BpeParts& parts, bool normalize,
                              const std::function<bool(const AddedToken&)>& wanted) {
  std::vector<AddedToken> out;
  std::optional<RegexScratch> regex;
  if (normalize) regex.emplace(most_grown(kMaxAddedContent));
  for (AddedToken token : parts.added) {
    if (!wanted(token)) continue;
    check_content(token);
    if (normalize && parts.normalize_added) {
      token.content = in_section(parts.file, "normalizer", [&] {
        return normalized(parts.normalizers, std::move(token.content), true, *regex);
      });
    }
    out.push_back(std::move(token));
  }
  return AddedTokens(std::move(out));
}

}  // namespace

std::string PieceDecoder::replaced_in(std::string piece, size_t most) const {
  for (const auto& [from, to] : replace) piece = replaced(piece, from, to, most);
  return piece;
}

BpeTokenizer::BpeTokenizer(BpeParts parts)
    : parts_(std::move(parts)),
      raw_(tokens_looked_for(parts_, false, [](const auto& t) { return !t.normalized; })),
      normalized_(tokens_looked_for(parts_, true, [](const auto& t) { return t.normalized; })),
      plain_raw_(tokens_looked_for(parts_, false,
                                   [](const auto& t) { return !t.normalized && !t.special; })),
      plain_normalized_(tokens_looked_for(
          parts_, true, [](const auto& t) { return t.normalized && !t.special; })),
      special_raw_(tokens_looked_for(parts_, false, [](const auto& t) { return t.special; })) {
  const TokenTable& tokens = parts_.tokens;
  if (tokens.size() == 0) throw corrupt("no tokens");
  special_.resize(static_cast<size_t>(tokens.size()));
  added_.resize(special_.size());
  for (const AddedToken& token : parts_.added) {
    check_id(token.id);
    added_[static_cast<size_t>(token.id)] = true;
    if (token.special) special_[static_cast<size_t>(token.id)] = true;
  }
  for (const auto* ids : {&parts_.before, &parts_.after, &parts_.special_ids}) {
    for (const int32_t id : *ids) {
      check_id(id);
      special_[static_cast<size_t>(id)] = true;
    }
  }
  for (const auto id : {parts_.bos, parts_.eos, parts_.unknown}) {
    if (id) check_id(*id);
  }
  for (const int32_t id : parts_.ends) check_id(id);
  for (int b = 0; b < 256; ++b) {
    std::string spelling = fmt::format("<0x{:02X}>", b);
    if (parts_.byte_level) {
      spelling.clear();
      append_utf8(spelling, byte_level_character(static_cast<uint8_t>(b)));
    }
    byte_ids_[static_cast<size_t>(b)] = tokens.find(spelling);
  }
  all_bytes_ = std::find(byte_ids_.begin(), byte_ids_.end(), -1) == byte_ids_.end();
}

void BpeTokenizer::check_id(int32_t id) const {
  if (parts_.tokens.contains(id)) return;
  throw corrupt(fmt::format("id {} is outside the vocabulary of {}", id, parts_.tokens.size()));
}

bool BpeTokenizer::is_special(int32_t id) const {
  return id >= 0 && id < vocab_size() && special_[static_cast<size_t>(id)];
}

std::vector<int32_t> BpeTokenizer::ends() const {
  std::vector<int32_t> out = Tokenizer::ends();
  for (const int32_t id : parts_.ends) {
    if (std::find(out.begin(), out.end(), id) == out.end()) out.push_back(id);
  }
  return out;
}

std::optional<int32_t> BpeTokenizer::added_token(std::string_view content) const {
  const int32_t id = parts_.tokens.find(content);
  const bool found = id >= 0 && (added_[static_cast<size_t>(id)] || is_special(id));
  return found ? std::optional(id) : std::nullopt;
}

std::string BpeTokenizer::token_text(int32_t id) const {
  if (!parts_.tokens.contains(id)) {
    throw invalid_argument(
        fmt::format("token {} is outside the vocabulary of {}", id, vocab_size()));
  }
  return std::string(parts_.tokens.text(id));
}

void BpeTokenizer::append_piece(int32_t id, DecodeState& state, std::string& out) const {
  if (id >= vocab_size()) return;
  const PieceDecoder& decoder = parts_.decoder;
  std::string piece = token_text(id);
  const size_t most = most_grown(piece.size());
  const bool first = !state.started;
  state.started = true;
  if (decoder.byte_level && !added_[static_cast<size_t>(id)]) {
    return append_byte_level(piece, out);
  }
  const int byte = decoder.byte_fallback ? byte_of(piece) : -1;
  if (byte >= 0) piece = std::string(1, static_cast<char>(byte));
  if (byte < 0 && !decoder.replace.empty()) {
    piece = in_section(parts_.file, "decoder", [&] { return decoder.replaced_in(piece, most); });
  }
  if (first && decoder.strip_first_piece && byte < 0) {
    piece = replaced(piece, decoder.strip, "", most);
  }
  std::string_view rest = piece;
  while (state.stripped >= 0 && state.stripped < decoder.strip_count && !rest.empty()) {
    const bool take = rest.starts_with(decoder.strip);
    state.stripped = take ? state.stripped + 1 : -1;
    if (take) rest.remove_prefix(decoder.strip.size());
  }
  out += rest;
}

}  // namespace nibble
