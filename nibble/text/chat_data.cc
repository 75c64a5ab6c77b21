#include "nibble/text/chat_data.h"

#include <fmt/format.h>

#include <algorithm>
#include <string>

#include "nibble/core/error.h"

namespace nibble {
namespace {

using Made = std::vector<TemplateText>;
using Range = std::pair<size_t, size_t>;

bool is_answer(const JsonNode& message) { return message.string("role") == "assistant"; }

Conversation learnable(std::string_view line) {
  Conversation out = Conversation::parse(line);
  if (out.messages().empty() || !is_answer(out.messages().back()))
    throw corrupt("the last turn is not the assistant's: there is no answer to learn");
  return out;
}

// The parts of a text up to byte `end`.
std::vector<TextPart> parts_before(const Made& made, size_t end) {
  Made out;
  for (const TemplateText& one : made) {
    if (end == 0) break;
    out.push_back(one);
    if (one.text.size() > end) out.back().text.resize(end);
    end -= out.back().text.size();
  }
  return text_parts(out);
}

// Without the white space that the template writes behind the last answer.
size_t trimmed_end(const Made& made) {
  size_t end = 0;
  for (const TemplateText& one : made) end += one.text.size();
  if (made.empty() || made.back().people) return end;
  const std::string& last = made.back().text;
  const size_t kept = last.find_last_not_of(" \t\r\n");
  return end - last.size() + (kept == std::string::npos ? 0 : kept + 1);
}

// Bytes that {% generation %} has written.
std::vector<Range> generated_ranges(const Made& made) {
  std::vector<Range> out;
  size_t at = 0;
  for (const TemplateText& one : made) {
    const size_t end = at + one.text.size();
    if (one.answer && !out.empty() && out.back().second == at)
      out.back().second = end;
    else if (one.answer)
      out.emplace_back(at, end);
    at = end;
  }
  return out;
}

// Where two texts part, at the border of a character.
size_t common_length(std::string_view a, std::string_view b) {
  auto at =
      static_cast<size_t>(std::mismatch(a.begin(), a.end(), b.begin(), b.end()).first - a.begin());
  while (at > 0 && at < b.size() && (static_cast<unsigned char>(b[at]) >> 6) == 2) --at;
  return at;
}

class Sequencer {
 public:
  Sequencer(const ChatTemplate& chat, const Tokenizer& tokenizer)
      : chat_(chat), tokenizer_(tokenizer) {}

  std::vector<ChatSequence> run(const Conversation& c) const {
    const Made whole = chat_.render(c.beginning(c.messages().size(), false));
    const std::vector<Range> marked = generated_ranges(whole);
    if (!marked.empty()) return {sequence(whole, marked)};
    return by_difference(c, whole);
  }

 private:
  // What each answer adds to the text that stands in front of it.
  std::vector<ChatSequence> by_difference(const Conversation& c, const Made& whole) const {
    const std::string all = whole_text(whole);
    std::vector<ChatSequence> apart;
    std::vector<Range> ranges;
    bool together = true;
    for (size_t i = 0; i < c.messages().size(); ++i) {
      if (!is_answer(c.messages()[i])) continue;
      const std::string before = whole_text(chat_.render(c.beginning(i, true)));
      const Made with = chat_.render(c.beginning(i + 1, false));
      const std::string text = whole_text(with);
      const size_t begin = common_length(before, text), end = trimmed_end(with);
      const size_t done = ranges.empty() ? 0 : ranges.back().second;
      together =
          together && begin >= done && all.starts_with(std::string_view(text).substr(0, end));
      ranges.emplace_back(std::min(begin, end), end);
      apart.push_back(sequence(with, {ranges.back()}));
    }
    return together ? std::vector{sequence(whole, ranges)} : apart;
  }

  // A word may reach over a border: then its token belongs to what is behind it.
  size_t id_at(const Made& made, const std::vector<int32_t>& ids, size_t byte) const {
    const std::vector<int32_t> before = tokenizer_.encode_parts(parts_before(made, byte));
    return static_cast<size_t>(
        std::mismatch(before.begin(), before.end(), ids.begin(), ids.end()).second - ids.begin());
  }

  ChatSequence sequence(const Made& made, const std::vector<Range>& ranges) const {
    ChatSequence out{tokenizer_.encode_parts(text_parts(made)), {}};
    for (const auto& [begin, end] : ranges)
      out.answers.emplace_back(id_at(made, out.ids, begin), id_at(made, out.ids, end));
    // A template may leave an answer out.
    std::erase_if(out.answers, [](const Range& r) { return r.first == r.second; });
    if (!out.answers.empty()) finish(made, ranges.back().second, out);
    return out;
  }

  // Ends with the last answer; where the template writes nothing behind that, with the tokenizer's
  // end.
  void finish(const Made& made, size_t end, ChatSequence& out) const {
    const bool bare = end == whole_text(made).size() && made.back().people;
    out.ids.resize(out.answers.back().second);
    const auto eos = tokenizer_.eos();
    if (!bare || !eos) return;
    out.ids.push_back(*eos);
    ++out.answers.back().second;
  }

  const ChatTemplate& chat_;
  const Tokenizer& tokenizer_;
};

void cut_to(size_t most, ChatSequence& s) {
  if (s.ids.size() <= most) return;
  s.ids.resize(most);
  for (auto& [begin, end] : s.answers) begin = std::min(begin, most), end = std::min(end, most);
  std::erase_if(s.answers, [](const Range& r) { return r.first == r.second; });
}

}  // namespace

std::vector<ChatSequence> chat_sequences(std::string_view lines, const ChatTemplate& chat,
                                         const Tokenizer& tokenizer, int64_t context) {
  const Sequencer sequencer(chat, tokenizer);
  std::vector<ChatSequence> out;
  int64_t number = 0;
  for (size_t at = 0; at < lines.size();) {
    const size_t end = std::min(lines.find('\n', at), lines.size());
    const std::string_view line = lines.substr(at, end - at);
    at = end + 1;
    ++number;
    if (line.find_first_not_of(" \t\r") == std::string_view::npos) continue;
    try {
      for (ChatSequence& s : sequencer.run(learnable(line))) {
        cut_to(static_cast<size_t>(context) + 1, s);
        out.push_back(std::move(s));
      }
    } catch (const Error& e) {
      if (e.kind() != ErrorKind::corrupt) throw;
      throw corrupt(e.what()).at(fmt::format("line {}", number));
    }
  }
  return out;
}

}  // namespace nibble
