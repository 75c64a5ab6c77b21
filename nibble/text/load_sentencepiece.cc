#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "nibble/core/byte_reader.h"
#include "nibble/core/error.h"
#include "nibble/core/protobuf.h"
#include "nibble/core/utf8.h"
#include "nibble/text/load.h"
#include "nibble/text/token_type.h"
#include "nibble/text/utf8.h"

namespace nibble {
namespace {

struct Piece {
  std::string_view text;
  float score = 0;
  int32_t type = kNormalToken;
};

struct Settings {
  int32_t model_type = 1;  // the proto's default: unigram
  bool byte_fallback = false, suffix = false;
  int32_t bos = 1, eos = 2;
  bool dummy_prefix = true, single_spaces = true, escape = true, charsmap = false, rules = false;
  std::string normalization = "identity";
};

Piece read_piece(const ProtobufField& message) {
  Piece piece;
  ProtobufReader reader(message.bytes(), message.offset());
  for (ProtobufField field; reader.next(field);) {
    if (field.number() == 1) piece.text = field.text();
    if (field.number() == 2) piece.score = field.f32();
    if (field.number() == 3) piece.type = field.int32();
  }
  const auto wrong = [&](Error error) {
    return std::move(error).at(fmt::format("offset {}", message.offset()));
  };
  if (!is_utf8(piece.text)) throw wrong(corrupt("a piece is not UTF-8"));
  if (!std::isfinite(piece.score)) throw wrong(corrupt("a score is not finite"));
  if (piece.type == kUnusedToken)
    throw wrong(unsupported("pieces of type UNUSED are not supported"));
  if (piece.type < kNormalToken || piece.type > kByteToken) {
    throw wrong(corrupt(fmt::format("piece type {} is unknown", piece.type)));
  }
  return piece;
}

void read_trainer(const ProtobufField& message, Settings& out) {
  ProtobufReader reader(message.bytes(), message.offset());
  for (ProtobufField field; reader.next(field);) {
    if (field.number() == 3) out.model_type = field.int32();
    if (field.number() == 24) out.suffix = field.boolean();
    if (field.number() == 35) out.byte_fallback = field.boolean();
    if (field.number() == 41) out.bos = field.int32();
    if (field.number() == 42) out.eos = field.int32();
  }
}

void read_normalizer_spec(const ProtobufField& message, Settings& out) {
  ProtobufReader reader(message.bytes(), message.offset());
  for (ProtobufField field; reader.next(field);) {
    if (field.number() == 1) out.normalization = field.text();
    if (field.number() == 2) out.charsmap = !field.bytes().empty();
    if (field.number() == 3) out.dummy_prefix = field.boolean();
    if (field.number() == 4) out.single_spaces = field.boolean();
    if (field.number() == 5) out.escape = field.boolean();
    if (field.number() == 6) out.rules = !field.bytes().empty();
  }
}

void check(const Settings& s) {
  // TrainerSpec.ModelType.
  constexpr std::string_view kModels[] = {"", "unigram", "BPE", "word", "char"};
  if (s.model_type != 2) {
    const bool known = s.model_type >= 1 && s.model_type <= 4;
    throw unsupported(fmt::format("a SentencePiece model of type {} is not supported; only BPE is",
                                  known ? kModels[s.model_type] : fmt::to_string(s.model_type)));
  }
  if (s.suffix) throw unsupported("treat_whitespace_as_suffix is not supported");
  if (!s.escape) throw unsupported("escape_whitespaces = false is not supported");
  if (s.charsmap || s.rules) {
    throw unsupported(
        fmt::format("the normalization {} (a character map) is not supported; only "
                    "identity is",
                    in_quotes(s.normalization, 40)));
  }
}

// The characters inside of mergeable tokens that are no such token themselves: SentencePiece merges
// texts, so that they can be parts although they are no tokens.
void hide_characters(const std::vector<bool>& mergeable, BpeParts& parts) {
  for (int32_t id = 0; id < parts.tokens.size(); ++id) {
    if (!mergeable[static_cast<size_t>(id)]) continue;
    const std::string_view text = parts.tokens.text(id);
    for (size_t i = 0; i < text.size();) {
      const size_t length = utf8_length(text, i);
      const std::string_view character = text.substr(i, length);
      const int32_t token = parts.tokens.find(character);
      if ((token < 0 || !mergeable[static_cast<size_t>(token)]) &&
          parts.hidden.find(character) < 0) {
        parts.hidden.add(character, parts.hidden.size());
      }
      i += length;
    }
  }
}

}  // namespace

void use_space_marks(bool prefix, bool each_part, BpeParts& parts) {
  if (prefix) parts.normalizers.push_back(make_prepend(" ", !each_part));
  parts.normalizers.push_back(make_replace(" ", std::string(kSpaceMark)));
  parts.decoder.byte_fallback = parts.byte_fallback;
  parts.decoder.replace = {{std::string(kSpaceMark), " "}};
  if (prefix) parts.decoder.strip = " ", parts.decoder.strip_count = 1;
}

std::string safe_cut(const TokenTable& tokens, std::string_view mark) {
  for (int32_t id = 0; id < tokens.size(); ++id) {
    if (!tokens.contains(id)) continue;
    const std::string_view text = tokens.text(id);
    for (size_t at = text.find(mark); at != std::string_view::npos;
         at = text.find(mark, at + mark.size())) {
      if (at > 0 && !text.substr(0, at).ends_with(mark)) return {};
    }
  }
  return std::string(mark);
}

void merges_from_scores(std::span<const float> scores, const std::vector<bool>& mergeable,
                        BpeParts& parts) {
  constexpr size_t kLongest = 1024;  // a token's cuts cost their length each
  const auto n = static_cast<size_t>(parts.tokens.size());
  NIBBLE_CHECK(scores.size() == n && mergeable.size() == n);
  hide_characters(mergeable, parts);
  // Equal scores share a rank: of those the leftmost goes first.
  std::vector<float> order(scores.begin(), scores.end());
  std::sort(order.begin(), order.end(), std::greater<>());
  order.erase(std::unique(order.begin(), order.end()), order.end());
  const auto symbol = [&](std::string_view text) {
    const int32_t id = parts.tokens.find(text);
    if (id >= 0 && mergeable[static_cast<size_t>(id)]) return id;
    const int32_t hidden = parts.hidden.find(text);
    return hidden < 0 ? -1 : parts.tokens.size() + hidden;
  };
  for (int32_t id = 0; id < parts.tokens.size(); ++id) {
    if (!mergeable[static_cast<size_t>(id)]) continue;
    const std::string_view text = parts.tokens.text(id);
    if (text.size() > kLongest) {
      throw corrupt(fmt::format("token {} has {} bytes, limit {}", id, text.size(), kLongest));
    }
    const auto at = std::lower_bound(order.begin(), order.end(), scores[static_cast<size_t>(id)],
                                     std::greater<>());
    const auto rank = static_cast<uint32_t>(at - order.begin());
    for (size_t cut = utf8_length(text, 0); cut < text.size(); cut += utf8_length(text, cut)) {
      const int32_t left = symbol(text.substr(0, cut));
      const int32_t right = left < 0 ? -1 : symbol(text.substr(cut));
      if (right >= 0) parts.merges.add(left, right, {rank, id});
    }
  }
}

BpeParts parse_sentencepiece(std::span<const std::byte> bytes, const TokenizerConfig& config) {
  Settings settings;
  std::vector<Piece> pieces;
  ProtobufReader reader(bytes);
  for (ProtobufField field; reader.next(field);) {
    if (field.number() == 1) {
      if (pieces.size() == static_cast<size_t>(kMaxTokens)) throw corrupt("too many pieces");
      pieces.push_back(read_piece(field));
    }
    if (field.number() == 2) read_trainer(field, settings);
    if (field.number() == 3) read_normalizer_spec(field, settings);
  }
  if (pieces.empty()) throw corrupt("no pieces: not a SentencePiece model");
  check(settings);

  BpeParts parts;
  std::vector<float> scores;
  std::vector<bool> mergeable;
  for (const Piece& piece : pieces) {
    const int32_t id = parts.tokens.size();
    parts.tokens.add(piece.text, id);
    scores.push_back(piece.score);
    mergeable.push_back(piece.type == kNormalToken || piece.type == kUserDefinedToken);
    if (piece.type == kUnknownToken) parts.unknown = id;
    if (piece.type == kUnknownToken || piece.type == kControlToken) parts.special_ids.push_back(id);
    if (piece.type == kUserDefinedToken) {
      parts.added.push_back({.content = std::string(piece.text), .id = id});
    }
  }
  if (!parts.unknown) throw corrupt("no piece of type UNKNOWN");
  merges_from_scores(scores, mergeable, parts);
  parts.byte_fallback = settings.byte_fallback;
  parts.fuse_unknown = true;
  parts.normalize_added = false;
  parts.special_is_no_text = true;
  if (settings.single_spaces) parts.normalizers.push_back(make_single_spaces());
  use_space_marks(config.add_prefix_space.value_or(settings.dummy_prefix), config.legacy, parts);
  parts.cut_before = safe_cut(parts.tokens, kSpaceMark);
  if (settings.bos >= 0) parts.bos = settings.bos, parts.before = {settings.bos};
  if (settings.eos >= 0) parts.eos = settings.eos;
  return parts;
}

BpeParts parse_llama2c_tokenizer(std::span<const std::byte> bytes) {
  ByteReader reader(bytes);
  const int32_t longest = reader.i32("the longest token's length");
  if (longest < 1) {
    throw corrupt(fmt::format("max_token_length must be 1 or more (got {})", longest))
        .at("offset 0");
  }
  BpeParts parts;
  std::vector<float> scores;
  while (reader.left() > 0) {
    const size_t start = reader.offset();
    const auto wrong = [&](std::string reason) {
      return corrupt(std::move(reason)).at(fmt::format("offset {}", start));
    };
    const float score = reader.f32("a token's score");
    const int32_t length = reader.i32("a token's length");
    if (length < 0 || length > longest) {
      throw wrong(fmt::format("token {}: length {} is outside 0 to max_token_length {}",
                              scores.size(), length, longest));
    }
    const auto raw = reader.take(static_cast<uint64_t>(length), "a token");
    const std::string_view text(reinterpret_cast<const char*>(raw.data()), raw.size());
    if (!is_utf8(text)) throw wrong(fmt::format("token {} is not UTF-8", scores.size()));
    if (!std::isfinite(score)) throw wrong(fmt::format("token {}: score", scores.size()));
    parts.tokens.add(text, static_cast<int64_t>(scores.size()));
    scores.push_back(score);
  }
  // Ids 0 to 2 are unknown, BOS, EOS and 3 to 258 the bytes: run.c builds on that.
  constexpr size_t kFirstText = 3 + 256;
  if (scores.size() < kFirstText || parts.tokens.find("<0x00>") != 3) {
    throw corrupt(fmt::format("{} tokens; expected unknown, BOS, EOS and the 256 bytes first",
                              scores.size()));
  }
  std::vector<bool> mergeable(scores.size(), true);
  std::fill_n(mergeable.begin(), kFirstText, false);
  merges_from_scores(scores, mergeable, parts);
  parts.unknown = 0, parts.bos = 1, parts.eos = 2;
  parts.before = {1}, parts.special_ids = {0, 2};
  parts.byte_fallback = parts.decoder.byte_fallback = parts.fuse_unknown = true;
  parts.special_is_no_text = true;
  parts.normalizers.push_back(make_prepend(" "));
  parts.decoder.strip = " ", parts.decoder.strip_count = 1;
  parts.cut_before = safe_cut(parts.tokens, " ");
  return parts;
}

}  // namespace nibble
