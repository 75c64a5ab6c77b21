#include "cli/verbs.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <string_view>

#include "cli/errors.h"
#include "cli/strict_numbers.h"
#include "nibble/core/cpu.h"
#include "nibble/core/error.h"
#include "nibble/core/version.h"

namespace nibble::cli {
namespace {

// The first word is the verb; one that does not exist is named instead of what CLI11 makes of it.
void check_verb(const CLI::App& app, const std::vector<std::string>& words) {
  if (words.empty() || words[0].starts_with('-')) return;
  std::vector<std::string> names;
  for (const CLI::App* verb : app.get_subcommands({})) {
    if (verb->get_name() == words[0]) return;
    names.push_back(verb->get_name());
  }
  throw invalid_argument(
      fmt::format("no verb {}; use one of {}", in_quotes(words[0]), fmt::join(names, ", ")));
}

// Names the verb whose --help explains it, and what is unknown before what is missing: CLI11 asks
// for a model first where a flag is misspelled.
std::string usage_problem(const CLI::App& app, const CLI::ParseError& e) {
  const auto verbs = app.get_subcommands();
  if (verbs.empty()) return first_line(e.what()) + " (see `nibble --help`)";
  const std::vector<std::string> unknown = verbs.front()->remaining();
  const bool missing = dynamic_cast<const CLI::RequiredError*>(&e) != nullptr;
  const std::string what = missing && !unknown.empty()
                               ? fmt::format("not expected: {}", fmt::join(unknown, " "))
                               : first_line(e.what());
  return fmt::format("{} (see `nibble {} --help`)", what, verbs.front()->get_name());
}

}  // namespace

void add_verbs(CLI::App& app, Common& common) {
  app.set_version_flag("--version", std::string(version()));
  app.require_subcommand(1);
  app.footer("Example:\n  nibble demo -o my-demo\n\nnibble VERB --help explains a verb.\n");
  for (const auto add :
       {add_demo, add_train, add_quantize, add_auto, add_convert, add_merge, add_eval, add_compare,
        add_generate, add_inspect, add_tokenize, add_bench, add_estimate}) {
    add(app, common);
  }
  read_numbers_strictly(app);
}

std::string command_line(const std::vector<std::string>& words) {
  std::string out = "nibble";
  for (const std::string& word : words) {
    const bool plain =
        !word.empty() && word.find_first_of(" \t\n'\"*?$&|;<>()\\`") == std::string::npos;
    out += plain ? fmt::format(" {}", word) : fmt::format(" '{}'", word);
  }
  return out;
}

void run_words(CLI::App& app, std::vector<std::string> words) {
  check_verb(app, words);
  std::reverse(words.begin(), words.end());  // as CLI11 takes them
  try {
    app.parse(std::move(words));
  } catch (const CLI::CallForHelp&) {
    throw;
  } catch (const CLI::CallForVersion&) {
    throw;
  } catch (const CLI::ParseError& e) {
    throw invalid_argument(usage_problem(app, e));
  }
}

}  // namespace nibble::cli
