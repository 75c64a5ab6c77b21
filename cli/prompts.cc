#include "cli/prompts.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "cli/data.h"
#include "nibble/core/error.h"

namespace nibble::cli {
namespace {

std::vector<std::string> lines_of(const Text& file) {
  std::vector<std::string> out;
  std::string line;
  for (size_t begin = 0; begin < file.text.size();) {
    const size_t end = std::min(file.text.find('\n', begin), file.text.size());
    line = file.text.substr(begin, end - begin);
    if (line.ends_with('\r')) line.pop_back();
    if (!line.empty()) out.push_back(line);
    begin = end + 1;
  }
  if (out.empty()) throw corrupt("expected a prompt on each line, found none").in_file(file.name);
  return out;
}

}  // namespace

void add_prompts(CLI::App& verb, PromptOptions& o) {
  verb.add_option("--prompt", o.prompts, "What the text begins with (repeatable: a text for each)");
  verb.add_option("--prompt-file", o.file, "The same from a file; - is standard input");
  verb.add_option("--prompts-file", o.lines_file, "A prompt on each line of a file");
  verb.add_flag("--chat", o.chat, "The prompt is a user's turn: the model answers it");
  verb.add_option("--system", o.system, "With --chat: what the model is told beforehand");
  verb.add_option("--chat-format", o.chat_format,
                  fmt::format("With --chat: this format whatever the model's template says: {}",
                              fmt::join(chat_format_names(), ", ")));
}

std::vector<std::string> prompt_texts(const PromptOptions& o) {
  const int given =
      (o.prompts.empty() ? 0 : 1) + (o.file.empty() ? 0 : 1) + (o.lines_file.empty() ? 0 : 1);
  if (given > 1)
    throw invalid_argument("give one of --prompt, --prompt-file and --prompts-file, not several");
  if (!o.lines_file.empty()) return lines_of(load_text(o.lines_file));
  if (!o.file.empty()) return {load_text(o.file).text};
  return o.prompts.empty() ? std::vector<std::string>{""} : o.prompts;
}

const ChatFormat* chat_format_of(const PromptOptions& o, const ModelFolder& model) {
  if (!o.chat) {
    if (!o.system.empty() || !o.chat_format.empty())
      throw invalid_argument("--system and --chat-format belong to --chat");
    return nullptr;
  }
  if (!o.chat_format.empty()) return &chat_format(o.chat_format);
  return &folder_chat_format(model.folder());
}

Prompt encode_prompt(const std::string& text, const PromptOptions& o, const ChatFormat* format,
                     const Tokenizer& tokenizer, std::optional<int32_t> bos) {
  Prompt out{text, text, {}};
  if (format == nullptr) {
    out.ids = tokenizer.encode(text, true);
  } else {
    const auto system = o.system.empty() ? std::nullopt : std::optional(o.system);
    const auto parts = chat_prompt(*format, tokenizer, system, text, chat_day());
    out.ids = tokenizer.encode_parts(parts);
    out.shown = out.text = "";
    for (const TextPart& part : parts) out.text += part.text;
  }
  if (out.ids.empty() && bos) out.ids.push_back(*bos);
  if (out.ids.empty()) {
    throw invalid_argument(
        "the prompt is empty, and neither the tokenizer nor config.json or generation_config.json "
        "names a token that texts begin with: give at least one character");
  }
  return out;
}

}  // namespace nibble::cli
