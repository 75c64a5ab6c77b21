#include "nibble/eval/protocol.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "nibble/core/error.h"
#include "nibble/text/line_data.h"

namespace nibble {
namespace {

struct Row {
  Protocol protocol;
  std::string_view name;
  int64_t window;  // the protocol's own; 0: the context
};
constexpr Row kRows[] = {{Protocol::windows, "windows", 256},
                         {Protocol::hf_stride, "hf-stride", 0},
                         {Protocol::llama_cpp, "llama.cpp", 512},
                         {Protocol::gptq, "gptq", 2048}};

// Of the programs that score whole windows only, llama.cpp's from the middle of each on.
void require_a_window(Protocol protocol, int64_t tokens, int64_t window) {
  const bool from_the_middle = protocol == Protocol::llama_cpp;
  if (!from_the_middle && protocol != Protocol::gptq) return;
  if (from_the_middle && window < 3)
    throw invalid_argument(
        fmt::format("`protocol` llama.cpp: a window of {} tokens predicts nothing behind its "
                    "middle: use 3 or more",
                    window));
  if (tokens >= window) return;
  throw corrupt(fmt::format(
      "`protocol` {} scores whole windows of {} tokens, and there are only {}: give more text, or "
      "a smaller `window`",
      to_string(protocol), window, tokens));
}

std::vector<int32_t> part(const std::vector<int32_t>& ids, int64_t begin, int64_t end) {
  return {ids.begin() + begin, ids.begin() + end};
}

std::vector<ScoredSequence> separate(const std::vector<int32_t>& ids, int64_t window,
                                     bool only_whole) {
  const auto n = static_cast<int64_t>(ids.size());
  std::vector<ScoredSequence> out;
  for (int64_t at = 0; at + window <= n; at += window)
    out.push_back({part(ids, at, at + window), 1});
  if (out.empty() && !only_whole && n > 0) out.push_back({ids, 1});
  return out;
}

std::vector<ScoredSequence> strided(const std::vector<int32_t>& ids, int64_t window) {
  const auto n = static_cast<int64_t>(ids.size());
  const int64_t stride = std::max<int64_t>(window / 2, 1);
  std::vector<ScoredSequence> out;
  int64_t scored = 1;  // the next id that has not been scored
  for (int64_t begin = 0; scored < n; begin += stride) {
    const int64_t end = std::min(begin + window, n);
    if (end > scored) out.push_back({part(ids, begin, end), scored - begin});
    scored = std::max(scored, end);
  }
  return out;
}

// llama.cpp's program writes BOS over the first token of every chunk.
std::vector<ScoredSequence> second_halves(const std::vector<int32_t>& ids, int64_t window,
                                          const Tokenizer& tokenizer) {
  auto out = separate(ids, window, true);
  const std::vector<int32_t> before = tokenizer.edges().before;
  const bool adds_bos = tokenizer.bos() && before == std::vector<int32_t>{*tokenizer.bos()};
  for (ScoredSequence& s : out) {
    if (adds_bos) s.ids[0] = *tokenizer.bos();
    s.first_scored = window / 2 + 1;
  }
  return out;
}

// The last tenth of the text's ids.
void keep_heldout(std::vector<int32_t>& ids) {
  const size_t kept = ids.size() - (ids.size() / 10 * 9 + ids.size() % 10 * 9 / 10);
  ids.erase(ids.begin(), ids.end() - static_cast<ptrdiff_t>(kept));
}

// The programs of the other protocols tokenize the text with the special tokens around it.
void add_edges(Protocol protocol, const Tokenizer& tokenizer, std::vector<int32_t>& ids) {
  if (protocol == Protocol::windows) return;
  const SpecialEdges edges = tokenizer.edges();
  if (protocol == Protocol::llama_cpp && !edges.after.empty()) {
    throw invalid_argument(
        "`protocol` llama.cpp: the tokenizer adds a token behind a text, and llama.cpp's program "
        "refuses such a model: use another protocol");
  }
  ids.insert(ids.begin(), edges.before.begin(), edges.before.end());
  ids.insert(ids.end(), edges.after.begin(), edges.after.end());
}

}  // namespace

Protocol parse_protocol(std::string_view name) {
  for (const Row& r : kRows) {
    if (r.name == name) return r.protocol;
  }
  throw invalid_argument(fmt::format("`protocol` {}: use one of {}", in_quotes(name),
                                     fmt::join(protocol_names(), ", ")));
}

std::string_view to_string(Protocol protocol) { return kRows[static_cast<size_t>(protocol)].name; }

std::vector<std::string_view> protocol_names() {
  std::vector<std::string_view> out;
  out.reserve(std::size(kRows));
  for (const Row& r : kRows) out.push_back(r.name);
  return out;
}

std::vector<ScoredSequence> cut_for(Protocol protocol, const std::vector<int32_t>& ids,
                                    int64_t context, int64_t window, const Tokenizer& tokenizer) {
  const int64_t own = kRows[static_cast<size_t>(protocol)].window;
  if (window == 0) window = std::min(own == 0 ? context : own, context);
  if (window < 2)
    throw invalid_argument(
        fmt::format("a window of {} tokens predicts nothing: use 2 or more", window));
  require_a_window(protocol, static_cast<int64_t>(ids.size()), window);
  switch (protocol) {
    case Protocol::windows:
      return separate(ids, window, false);
    case Protocol::hf_stride:
      return strided(ids, window);
    case Protocol::llama_cpp:
      return second_halves(ids, window, tokenizer);
    case Protocol::gptq:
      return separate(ids, window, true);
  }
  NIBBLE_CHECK(false && "a protocol without a row");
  return {};
}

std::vector<ScoredSequence> all_scored(const std::vector<std::vector<int32_t>>& sequences) {
  std::vector<ScoredSequence> out;
  out.reserve(sequences.size());
  for (const auto& s : sequences) out.push_back({s, 1});
  return out;
}

std::vector<ScoredSequence> scored_text(std::string_view text, const Tokenizer& tokenizer,
                                        int64_t context, const TextOptions& o) {
  if (o.window > context) {
    throw invalid_argument(
        fmt::format("`window` {}: the model's context holds {} tokens", o.window, context));
  }
  if (reads_lines(tokenizer)) {
    const int64_t longest = o.window > 0 ? o.window : context;
    return all_scored(o.heldout ? line_sequences(text, tokenizer, longest, o.data_seed).heldout
                                : whole_sequences(text, tokenizer, longest));
  }
  std::vector<int32_t> ids = tokenizer.encode(text, false);
  if (o.heldout) keep_heldout(ids);
  add_edges(o.protocol, tokenizer, ids);
  return cut_for(o.protocol, ids, context, o.window, tokenizer);
}

}  // namespace nibble
