// nibble tokenize: a text as its model sees it.
#include <fmt/format.h>

#include <memory>
#include <optional>

#include "cli/command.h"
#include "cli/data.h"
#include "nibble/core/error.h"
#include "nibble/core/json.h"
#include "nibble/model/hf_cache.h"
#include "nibble/text/tokenizer.h"

namespace nibble::cli {
namespace {

struct TokenizeFlags {
  std::string model, file = "-";
  std::optional<std::string> text;
  bool no_special = false;
};

void show_tokenize(const Common& common, const Tokenizer& tokenizer,
                   const std::vector<int32_t>& ids) {
  if (common.json) {
    JsonWriter out;
    out.begin_object().field("schema_version", 1).field("kind", tokenizer.kind());
    out.field("tokens", static_cast<int64_t>(ids.size()));
    out.array("ids", std::vector<int64_t>(ids.begin(), ids.end())).end_object();
    return print_raw(out.finish());
  }
  for (const int32_t id : ids) {
    print_out(fmt::format("{:>7}  {}\n", id, printable(tokenizer.token_text(id), 4096)));
  }
}

void run_tokenize(const Common& common, const TokenizeFlags& o) {
  const auto tokenizer = load_tokenizer(resolve_model(o.model));
  const std::string text = o.text ? *o.text : load_text(o.file).text;
  show_tokenize(common, *tokenizer, tokenizer->encode(text, !o.no_special));
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
