// The command: parses, runs one verb, and is one of the two places where errors are caught.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <exception>
#include <new>
#include <string>
#include <string_view>
#include <vector>

#include "cli/command.h"
#include "cli/errors.h"
#include "cli/large_stack.h"
#include "cli/signals.h"
#include "cli/streams.h"
#include "cli/strict_numbers.h"
#include "nibble/core/cpu.h"
#include "nibble/core/error.h"
#include "nibble/core/files.h"
#include "nibble/core/version.h"
#include "nibble/kernels/onednn/product.h"

namespace nibble::cli {
namespace {

bool asked_for_json(int argc, char** argv) {
  return std::any_of(argv + 1, argv + argc, [](std::string_view a) {
    return a == "--json" || a == "--json=" || a == "--json=true";
  });
}

std::string command_line(int argc, char** argv) {
  std::string out = "nibble";
  for (int i = 1; i < argc; ++i) {
    const std::string_view arg = argv[i];
    const bool plain =
        !arg.empty() && arg.find_first_of(" \t\n'\"*?$&|;<>()\\`") == std::string_view::npos;
    out += plain ? fmt::format(" {}", arg) : fmt::format(" '{}'", arg);
  }
  return out;
}

// The first word is the verb; one that does not exist is named instead of what CLI11 makes of it.
void check_verb(const CLI::App& app, int argc, char** argv) {
  if (argc < 2 || argv[1][0] == '-') return;
  std::vector<std::string> names;
  for (const CLI::App* verb : app.get_subcommands({})) {
    if (verb->get_name() == argv[1]) return;
    names.push_back(verb->get_name());
  }
  throw invalid_argument(
      fmt::format("no verb {}; use one of {}", in_quotes(argv[1]), fmt::join(names, ", ")));
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

int parse_and_run(CLI::App& app, int argc, char** argv, bool json) {
  try {
    app.parse(argc, argv);
    return 0;
  } catch (const CLI::CallForHelp&) {
    print_out(app.get_subcommands().empty() ? app.help() : app.get_subcommands().front()->help());
    return 0;
  } catch (const CLI::CallForVersion&) {
    print_out(fmt::format("nibble {}\n", version()));
    return 0;
  } catch (const CLI::ParseError& e) {
    return fail(invalid_argument(usage_problem(app, e)), json);
  }
}

int run(int argc, char** argv, bool json) {
  try {
    cap_onednn();
    CLI::App app{"nibble: make a language model small, and prove what that cost", "nibble"};
    app.set_version_flag("--version", std::string(version()));
    app.require_subcommand(1);
    app.footer("Example:\n  nibble demo -o my-demo\n\nnibble VERB --help explains a verb.\n");
    Common common;
    common.command_line = command_line(argc, argv);
    for (const auto add :
         {add_demo, add_train, add_quantize, add_auto, add_convert, add_merge, add_eval,
          add_compare, add_generate, add_inspect, add_tokenize, add_bench, add_estimate}) {
      add(app, common);
    }
    read_numbers_strictly(app);
    check_verb(app, argc, argv);
    return parse_and_run(app, argc, argv, json);
  } catch (const Error& e) {
    return fail(e, json);
  } catch (const std::bad_alloc&) {
    return fail(out_of_memory("out of memory: this needs more than the system or its limits allow"),
                json);
  } catch (const std::exception& e) {
    return fail(
        io_error(fmt::format("a bug in nibble, please report it: {}", first_line(e.what()))),
        kExitBug, json);
  }
}

int start(int argc, char** argv) {
  occupy_closed_streams();
  const bool json = asked_for_json(argc, argv);
  install_signal_handlers(json);
  install_sigbus_guard(sigbus_end(json));
  return with_large_stack([=]() -> int {
    try {
      return run(argc, argv, json);
    } catch (...) {  // not even the words of an error found room
      put_raw_message("nibble: error[71]: out of memory\n");
      return kExitMemory;
    }
  });
}

}  // namespace
}  // namespace nibble::cli

int main(int argc, char** argv) { return nibble::cli::start(argc, argv); }
