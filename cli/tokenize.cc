// nibble tokenize: a text as its model sees it.
#include "nibble/jobs/tokenize.h"

#include <memory>
#include <optional>

#include "cli/command.h"
#include "cli/data.h"
#include "cli/flags.h"
#include "cli/prompts.h"
#include "nibble/core/error.h"
#include "nibble/report/generate_report.h"

namespace nibble::cli {
namespace {

struct TokenizeFlags {
  std::string model, file = "-", chat;
  ChatChoice choice;
  std::optional<std::string> text;
  bool no_special = false;
};

TokenizeResult tokenized(const TokenizeFlags& o) {
  if (!o.chat.empty()) return tokenize_chat(o.model, load_text(o.chat), o.choice);
  if (!o.choice.empty())
    throw invalid_argument("`chat_format`, `template_arg` and `template_date` belong to `chat`");
  return tokenize(o.model, o.text ? *o.text : load_text(o.file).text, !o.no_special);
}

void run_tokenize(const Common& common, const TokenizeFlags& o) {
  const TokenizeResult result = tokenized(o);
  show(
      common, [&] { return tokenize_json(result); }, [&] { return render_terminal(result); });
}

}  // namespace

void add_tokenize(CLI::App& app, Common& common) {
  CLI::App* verb = app.add_subcommand("tokenize", "A text as the tokens its model sees");
  const auto o = std::make_shared<TokenizeFlags>();
  verb->add_option("model", o->model,
                   "Model folder, tokenizer file, or a name in the Hugging Face cache")
      ->required();
  CLI::Option* text = verb->add_option("--text", o->text, "The text (default: standard input)");
  CLI::Option* file = verb->add_option("--file", o->file, "Text file; - is standard input")
                          ->capture_default_str()
                          ->excludes(text);
  CLI::Option* plain =
      verb->add_flag("--no-special", o->no_special,
                     "Leave out the special tokens the model expects around a text");
  verb->add_option(
          "--chat", o->chat,
          "A conversation in JSON, put into the model's chat template; - is standard input")
      ->excludes(text)
      ->excludes(file)
      ->excludes(plain);
  add_template(*verb, o->choice);
  add_common(*verb, common,
             "nibble tokenize my-model --text 'Hello, world'\n"
             "  cat book.txt | nibble tokenize my-model --json\n"
             "  nibble tokenize my-model --chat conversation.json --json");
  verb->callback([&common, o] { run_tokenize(common, *o); });
}

}  // namespace nibble::cli
