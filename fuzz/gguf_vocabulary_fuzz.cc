#include <fmt/format.h>

#include "fuzz/parts.h"
#include "nibble/core/error.h"
#include "nibble/text/byte_level.h"
#include "nibble/text/gguf_vocabulary.h"
#include "nibble/text/load.h"
#include "nibble/text/token_type.h"
#include "nibble/text/tokenizer_json.h"

namespace {

std::vector<std::string> lines_of(std::string_view text) {
  std::vector<std::string> out;
  for (size_t at = 0; at < text.size();) {
    const size_t end = std::min(text.find('\n', at), text.size());
    out.emplace_back(text.substr(at, end - at));
    at = end + 1;
  }
  return out;
}

// A token of each byte, as the kind of tokenizer spells it.
void add_bytes(nibble::GgufVocabulary& v) {
  const bool spelled = v.model == "gpt2";
  for (int b = 0; b < 256; ++b) {
    v.tokens.push_back(spelled ? nibble::byte_level_spelling(std::string(1, static_cast<char>(b)))
                               : fmt::format("<0x{:02X}>", b));
    v.token_types.push_back(spelled ? nibble::kNormalToken : nibble::kByteToken);
  }
}

// A token's type stands before it as a digit; an id is a character: '1' is the first behind the
// bytes.
nibble::GgufVocabulary vocabulary_of(std::string_view names, std::string_view ids,
                                     std::string_view tokens, std::string_view merges) {
  nibble::GgufVocabulary v;
  const std::vector<std::string> name = lines_of(names);
  if (!name.empty()) v.model = name[0];
  if (name.size() > 1) v.pre = name[1];
  if (name.size() > 2) v.general_name = name[2];
  add_bytes(v);
  for (const std::string& line : lines_of(tokens)) {
    v.token_types.push_back(line.empty() ? 1 : line[0] - '0');
    v.tokens.push_back(line.empty() ? line : line.substr(1));
  }
  v.merges = lines_of(merges);
  for (size_t i = 0; v.model == "llama" && i < v.tokens.size(); ++i) {
    v.scores.push_back(static_cast<float>(i % 7) - static_cast<float>(i));
  }
  std::optional<int64_t>* const fields[] = {&v.bos,     &v.eos,     &v.eot, &v.eom,
                                            &v.unknown, &v.padding, &v.mask};
  for (size_t i = 0; i < ids.size() && i < std::size(fields); ++i) {
    if (ids[i] != '-') *fields[i] = 255 + static_cast<signed char>(ids[i]) - '0';
  }
  const auto flag = [&](size_t i, std::optional<bool>& out) {
    if (i < ids.size() && ids[i] != '-') out = ids[i] % 2 == 1;
  };
  flag(7, v.add_bos), flag(8, v.add_eos), flag(9, v.add_space_prefix);
  flag(10, v.remove_extra_whitespaces);
  return v;
}

// What tokenizer.json says is read again, with the same edges.
void as_a_folder(const nibble::BpeTokenizer& tokenizer, std::string_view text) {
  std::vector<std::string> lost;
  std::string json;
  try {
    json = nibble::tokenizer_json(*tokenizer.bpe_parts(), lost);
  } catch (const nibble::Error&) {
    return;
  }
  const nibble::BpeTokenizer again(nibble::parse_tokenizer_json(json));
  if (again.edges().before != tokenizer.edges().before) __builtin_trap();
  (void)again.encode(text, true);
}

}  // namespace

// A text to encode, the names of the kinds, ids and flags, tokens with their types, merges. Nothing
// but an Error may come out; what was made can be written, and read again where it could.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto [text, names, ids, tokens, merges] = parts_of<5>(data, size);
  std::vector<std::string> warnings;
  try {
    const nibble::BpeTokenizer tokenizer(
        nibble::parse_gguf_vocabulary(vocabulary_of(names, ids, tokens, merges), warnings));
    (void)tokenizer.decode(tokenizer.encode(text, true));
    as_a_folder(tokenizer, text);
    const auto written = nibble::gguf_vocabulary(tokenizer, tokenizer.vocab_size() + 1, warnings);
    const nibble::BpeTokenizer again(nibble::parse_gguf_vocabulary(written, warnings));
    (void)again.decode(again.encode(text, true));
  } catch (const nibble::Error&) {
  }
  return 0;
}
