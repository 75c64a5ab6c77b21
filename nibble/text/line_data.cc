#include "nibble/text/line_data.h"

#include <fmt/format.h>

#include <algorithm>
#include <unordered_set>

#include "nibble/core/error.h"
#include "nibble/core/random.h"

namespace nibble {
namespace {

// str.strip()'s white space among ASCII: tab to carriage return, the four separators, space.
bool is_ascii_space(char c) { return (c >= '\t' && c <= '\r') || (c >= '\x1c' && c <= ' '); }

std::string_view strip(std::string_view line) {
  while (!line.empty() && is_ascii_space(line.front())) line.remove_prefix(1);
  while (!line.empty() && is_ascii_space(line.back())) line.remove_suffix(1);
  return line;
}

// Calls visit(line) for each line; \n, \r\n and \r end one, as in Python's text files.
template <class Visit>
void each_line(std::string_view text, Visit visit) {
  while (!text.empty()) {
    const size_t end = std::min(text.find_first_of("\r\n"), text.size());
    visit(text.substr(0, end));
    const size_t ending = text.substr(end).starts_with("\r\n") ? 2 : 1;
    text.remove_prefix(std::min(end + ending, text.size()));
  }
}

std::vector<std::string> shuffled_unique_lines(std::string_view text, uint64_t seed) {
  std::unordered_set<std::string> seen;
  std::vector<std::string> unique;
  for (std::string& line : split_lines(text)) {
    if (seen.insert(line).second) unique.push_back(std::move(line));
  }
  PyRandom(seed).shuffle(unique);
  return unique;
}

size_t nine_tenths(size_t n) { return n / 10 * 9 + n % 10 * 9 / 10; }

std::vector<int32_t> line_sequence(const std::string& line, const Tokenizer& tokenizer,
                                   int64_t context) {
  const int32_t bos = tokenizer.bos().value();
  std::vector<int32_t> ids = tokenizer.encode(line, false);
  ids.insert(ids.begin(), bos);
  ids.push_back(bos);
  if (static_cast<int64_t>(ids.size()) > context + 1) ids.resize(static_cast<size_t>(context) + 1);
  return ids;
}

std::vector<std::vector<int32_t>> windows(std::span<const int32_t> ids, int64_t context) {
  const auto window = static_cast<size_t>(context);
  std::vector<std::vector<int32_t>> out;
  for (size_t at = 0; at + 1 < ids.size(); at += window) {
    const auto part = ids.subspan(at, std::min(window + 1, ids.size() - at));
    out.emplace_back(part.begin(), part.end());
  }
  return out;
}

}  // namespace

bool reads_lines(const Tokenizer& tokenizer) {
  return tokenizer.kind() == "characters" && tokenizer.bos().has_value();
}

std::vector<std::string> split_lines(std::string_view text) {
  std::vector<std::string> lines;
  each_line(text, [&](std::string_view line) {
    if (const std::string_view inner = strip(line); !inner.empty()) lines.emplace_back(inner);
  });
  return lines;
}

SequenceData line_sequences(std::string_view text, const Tokenizer& tokenizer, int64_t context,
                            uint64_t seed) {
  NIBBLE_CHECK(context >= 1);
  if (!tokenizer.bos()) throw invalid_argument("line data needs a tokenizer with BOS");
  const std::vector<std::string> lines = shuffled_unique_lines(text, seed);
  SequenceData data;
  for (size_t i = 0; i < lines.size(); ++i) {
    auto& part = i < nine_tenths(lines.size()) ? data.train : data.heldout;
    part.push_back(line_sequence(lines[i], tokenizer, context));
  }
  return data;
}

std::vector<std::string> heldout_lines(std::string_view text, uint64_t seed) {
  std::vector<std::string> lines = shuffled_unique_lines(text, seed);
  lines.erase(lines.begin(), lines.begin() + static_cast<ptrdiff_t>(nine_tenths(lines.size())));
  return lines;
}

SequenceData text_sequences(std::string_view text, const Tokenizer& tokenizer, int64_t context) {
  NIBBLE_CHECK(context >= 1);
  const std::vector<int32_t> ids = tokenizer.encode(text, false);
  const auto cut = static_cast<ptrdiff_t>(nine_tenths(ids.size()));
  SequenceData data;
  data.train.emplace_back(ids.begin(), ids.begin() + cut);
  data.heldout = windows(std::span(ids).subspan(static_cast<size_t>(cut)), context);
  return data;
}

std::vector<std::vector<int32_t>> whole_sequences(std::string_view text, const Tokenizer& tokenizer,
                                                  int64_t context) {
  NIBBLE_CHECK(context >= 1);
  if (!reads_lines(tokenizer)) return windows(tokenizer.encode(text, false), context);
  std::vector<std::vector<int32_t>> out;
  for (const std::string& line : split_lines(text)) {
    out.push_back(line_sequence(line, tokenizer, context));
  }
  return out;
}

SequenceData sequences(std::string_view text, const Tokenizer& tokenizer, int64_t context,
                       uint64_t seed) {
  return reads_lines(tokenizer) ? line_sequences(text, tokenizer, context, seed)
                                : text_sequences(text, tokenizer, context);
}

bool looks_like_lines(std::string_view text, int64_t context) {
  int64_t lines = 0;
  bool fits = true;
  each_line(text, [&](std::string_view line) {
    int64_t characters = 0;
    for (char c : line) characters += (static_cast<unsigned char>(c) & 0xc0) != 0x80 ? 1 : 0;
    fits = fits && characters <= context && !strip(line).empty();
    ++lines;
  });
  return fits && lines > 1;
}

}  // namespace nibble
