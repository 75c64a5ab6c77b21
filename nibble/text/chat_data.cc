#include "nibble/text/chat_data.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <optional>
#include <string>

#include "nibble/core/error.h"
#include "nibble/core/json.h"

namespace nibble {
namespace {

// Models are shown the date that templates of Llama 3 have where nobody gives one: the same data
// give the same ids on every day.
constexpr std::string_view kDay = "26 Jul 2024";

struct Conversation {
  std::optional<std::string> system;
  std::string user, answer;
};

Conversation parse_conversation(std::string_view line) {
  const JsonFields fields = JsonFields::parse(line);
  std::map<std::string, std::string> by_role;
  int64_t count = 0;
  for (; fields.contains(fmt::format("messages.{}", count)); ++count) {
    const std::string at = fmt::format("messages.{}.", count), role = fields.string(at + "role");
    if (role != "system" && role != "user" && role != "assistant")
      throw corrupt(fmt::format("the role {} is none of system, user, assistant", in_quotes(role)));
    if (!by_role.emplace(role, fields.string(at + "content")).second)
      throw corrupt(
          fmt::format("more than one turn of {}: conversations of one question and one "
                      "answer can be learnt, give longer ones as several",
                      in_quotes(role)));
  }
  if (!by_role.contains("user") || !by_role.contains("assistant"))
    throw corrupt(R"(expected {"messages": [{"role": "user", ...}, {"role": "assistant", ...}]})");
  if (fields.string(fmt::format("messages.{}.role", count - 1)) != "assistant")
    throw corrupt("the last turn is not the assistant's: there is no answer to learn");
  if (const auto unread = fields.unread(); !unread.empty())
    throw corrupt(fmt::format("the key {} is not understood", in_quotes(unread.front())));
  const auto system = by_role.find("system");
  return {system == by_role.end() ? std::nullopt : std::optional(system->second), by_role["user"],
          by_role["assistant"]};
}

// What ends an answer: the format's own words, or the tokenizer's end.
std::optional<TextPart> end_of_answer(const ChatFormat& format, const Tokenizer& tokenizer) {
  if (!format.answer_end.empty()) return TextPart{std::string(format.answer_end)};
  if (const auto eos = tokenizer.eos()) return TextPart{"", false, *eos};
  return std::nullopt;
}

ChatSequence sequence_of(const Conversation& c, const ChatFormat& format,
                         const Tokenizer& tokenizer) {
  std::vector<TextPart> parts = chat_prompt(format, tokenizer, c.system, c.user, kDay);
  const std::vector<int32_t> prompt = tokenizer.encode_parts(parts);
  parts.push_back({c.answer, true});
  if (const auto end = end_of_answer(format, tokenizer)) parts.push_back(*end);
  ChatSequence out{tokenizer.encode_parts(parts), 0};
  // A word may reach over the border: then its token belongs to the answer.
  const auto border =
      std::mismatch(prompt.begin(), prompt.end(), out.ids.begin(), out.ids.end()).second;
  out.answer = static_cast<size_t>(border - out.ids.begin());
  return out;
}

// The same error, of a line.
Error corrupt_line(int64_t number, const Error& e) {
  Error out =
      e.kind() == ErrorKind::invalid_argument ? invalid_argument(e.what()) : corrupt(e.what());
  return std::move(out).at(fmt::format("line {}", number));
}

}  // namespace

std::vector<ChatSequence> chat_sequences(std::string_view lines, const ChatFormat& format,
                                         const Tokenizer& tokenizer, int64_t context) {
  std::vector<ChatSequence> out;
  int64_t number = 0;
  for (size_t at = 0; at < lines.size();) {
    const size_t end = std::min(lines.find('\n', at), lines.size());
    const std::string_view line = lines.substr(at, end - at);
    at = end + 1;
    ++number;
    if (line.find_first_not_of(" \t\r") == std::string_view::npos) continue;
    try {
      ChatSequence s = sequence_of(parse_conversation(line), format, tokenizer);
      s.ids.resize(std::min(s.ids.size(), static_cast<size_t>(context) + 1));
      out.push_back(std::move(s));
    } catch (const Error& e) {
      throw corrupt_line(number, e);
    }
  }
  return out;
}

}  // namespace nibble
