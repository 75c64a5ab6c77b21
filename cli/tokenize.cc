// nibble tokenize: a text as its model sees it.
#include "nibble/jobs/tokenize.h"

#include <memory>
#include <optional>

#include "cli/command.h"
#include "cli/data.h"
#include "nibble/report/generate_report.h"

namespace nibble::cli {
namespace {

struct TokenizeFlags {
  std::string model, file = "-";
  std::optional<std::string> text;
  bool no_special = false;
};

void run_tokenize(const Common& common, const TokenizeFlags& o) {
  const TokenizeResult result =
      tokenize(o.model, o.text ? *o.text : load_text(o.file).text, !o.no_special);
  common.json ? print_raw(tokenize_json(result)) : print_out(render_terminal(result));
}

}  // namespace

void add_tokenize(CLI::App& app, Common& common) {
  CLI::App* verb = app.add_subcommand("tokenize", "A text as the tokens its model sees");
  const auto o = std::make_shared<TokenizeFlags>();
  verb->add_option("model", o->model,
                   "Model folder, tokenizer file, or a name in the Hugging Face cache")
      ->required();
  CLI::Option* text = verb->add_option("--text", o->text, "The text (default: standard input)");
  verb->add_option("--file", o->file, "Text file; - is standard input")
      ->capture_default_str()
      ->excludes(text);
  verb->add_flag("--no-special", o->no_special,
                 "Leave out the special tokens the model expects around a text");
  add_common(*verb, common,
             "nibble tokenize my-model --text 'Hello, world'\n  cat book.txt | nibble tokenize "
             "my-model --json");
  verb->callback([&common, o] { run_tokenize(common, *o); });
}

}  // namespace nibble::cli
