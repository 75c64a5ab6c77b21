// What every verb of the command shares: its options, its surroundings, how it prints.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "cli/streams.h"
#include "nibble/core/exec.h"

namespace nibble::cli {

class ProgressBar;

/// What a verb found, in the forms that it has.
struct Found {
  std::string json, text, html;
};

/// A caller inside the process, in the place of the terminal: surroundings for the work, and who is
/// told. Of `exec` the threads are --threads or what the process may use.
struct Host {
  Exec exec;
  std::function<void(std::string_view)> message;  ///< lines that a command says on stderr
  Found found;
};

struct Common {
  bool json = false;
  bool quiet = false;
  int threads = 0;     ///< 0: as many as the process may use
  uint64_t seed = 42;  ///< of verbs that draw nothing at random: scripts may pass it to all
  std::string command_line;
  mutable std::weak_ptr<ProgressBar> bar;  ///< the one on the terminal
  Host* host = nullptr;                    ///< null: a command
};

/// Adds --json, --quiet, --threads and (where the verb has none of its own) --seed, and the example
/// to --help.
void add_common(CLI::App& verb, Common& common, const std::string& example);

/// How many threads --threads, or what the process may use, comes to: as many as can be made. Says
/// so once where those are fewer.
int threads_of(const Common& common);

/// For an option that is a number from `low` to `high`: CLI11's own range lets nan through.
CLI::Validator number_between(double low, double high);

/// Threads, the progress bar and the stop flag for a verb.
Exec make_exec(const Common& common);

/// A message for people on stderr; nothing with --quiet.
void say(const Common& common, std::string_view text);

/// Gives a result to whoever called: to a host in both forms, else to stdout, as JSON or in words.
void show(const Common& common, const std::function<std::string()>& json,
          const std::function<std::string()>& text);

// One function a verb: declares its options and what it does.
void add_demo(CLI::App& app, Common& common);
void add_train(CLI::App& app, Common& common);
void add_quantize(CLI::App& app, Common& common);
void add_auto(CLI::App& app, Common& common);
void add_convert(CLI::App& app, Common& common);
void add_merge(CLI::App& app, Common& common);
void add_eval(CLI::App& app, Common& common);
void add_compare(CLI::App& app, Common& common);
void add_generate(CLI::App& app, Common& common);
void add_inspect(CLI::App& app, Common& common);
void add_tokenize(CLI::App& app, Common& common);
void add_bench(CLI::App& app, Common& common);
void add_estimate(CLI::App& app, Common& common);

}  // namespace nibble::cli
