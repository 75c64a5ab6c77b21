#include "cli/prompts.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "cli/data.h"
#include "nibble/core/error.h"
#include "nibble/text/chat_formats.h"

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

void add_prompts(CLI::App& verb, PromptFiles& files, GenerateJob& o) {
  o.prompts.clear();
  verb.add_option("--prompt", o.prompts, "What the text begins with (repeatable: a text for each)");
  verb.add_option("--prompt-file", files.file, "The same from a file; - is standard input");
  verb.add_option("--prompts-file", files.lines_file, "A prompt on each line of a file");
  verb.add_flag("--chat", o.chat,
                "The prompt is a user's turn: the model answers it. Without a prompt: a dialogue, "
                "each line of standard input a turn");
  verb.add_option("--system", o.system, "With --chat: what the model is told beforehand");
  add_template(verb, o.template_choice);
}

void add_template(CLI::App& verb, ChatChoice& o) {
  verb.add_option("--chat-format", o.format,
                  fmt::format("With --chat: this format whatever the model's template says: {}",
                              fmt::join(chat_format_names(), ", ")));
  verb.add_option("--template-arg", o.args,
                  "With --chat: NAME=VALUE, a variable of the chat template, as "
                  "enable_thinking=false (VALUE is JSON, else a text; repeatable)");
  verb.add_option("--template-date", o.date,
                  "With --chat: the day that the template is told, as 2026-01-15 (default: today)");
}

std::vector<std::string> prompt_texts(const std::vector<std::string>& given,
                                      const PromptFiles& files) {
  const bool plain = given.empty();
  if ((plain ? 0 : 1) + (files.file.empty() ? 0 : 1) + (files.lines_file.empty() ? 0 : 1) > 1)
    throw invalid_argument("give one of --prompt, --prompt-file and --prompts-file, not several");
  if (!files.lines_file.empty()) return lines_of(load_text(files.lines_file));
  if (!files.file.empty()) return {load_text(files.file).text};
  return plain ? std::vector<std::string>{""} : given;
}

}  // namespace nibble::cli
