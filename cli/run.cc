#include "cli/run.h"

#include <fmt/format.h>

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
#include "cli/verbs.h"
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

int parse_and_run(CLI::App& app, const std::vector<std::string>& words) {
  try {
    run_words(app, words);
  } catch (const CLI::CallForHelp&) {
    print_out(app.get_subcommands().empty() ? app.help() : app.get_subcommands().front()->help());
  } catch (const CLI::CallForVersion&) {
    print_out(fmt::format("nibble {} ({})\n", version(), cpu().isa));
  }
  return 0;
}

int run(int argc, char** argv, bool json) {
  try {
    cap_onednn();
    CLI::App app{"nibble: make a language model small, and prove what that cost", "nibble"};
    const std::vector<std::string> words(argv + std::min(argc, 1), argv + argc);
    Common common;
    common.command_line = command_line(words);
    add_verbs(app, common);
    return parse_and_run(app, words);
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

}  // namespace

int run_command(int argc, char** argv) {
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

}  // namespace nibble::cli
