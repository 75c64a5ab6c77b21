#include "cli/command.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <utility>

#include "cli/progress.h"
#include "cli/signals.h"
#include "nibble/core/error.h"
#include "nibble/core/executor.h"

namespace nibble::cli {

void add_common(CLI::App& verb, Common& common, const std::string& example) {
  verb.add_flag("--json", common.json, "Print the result as one JSON object");
  verb.add_flag("--quiet,-q", common.quiet, "No progress bar and no messages");
  verb.add_option("--threads", common.threads,
                  "Threads to use (default: as many as this process may use: its affinity, its "
                  "control group's quota, OMP_NUM_THREADS)")
      ->check(CLI::Range(1, 4096));
  if (verb.get_option_no_throw("--seed") == nullptr) {
    verb.add_option("--seed", common.seed, "Taken by every verb; this one draws nothing at random");
  }
  verb.footer("Example:\n  " + example + "\n");
}

CLI::Validator number_between(double low, double high) {
  const auto check = [low, high](const std::string& text) {
    double value = 0;
    const bool inside = CLI::detail::lexical_cast(text, value) && value >= low && value <= high;
    return inside ? std::string() : fmt::format("Value {} not in range {} to {}", text, low, high);
  };
  return {check, fmt::format("FLOAT in [{} - {}]", low, high)};
}

int threads_of(const Common& common) {
  static bool said = false;
  const int wanted = common.threads > 0 ? common.threads : default_threads();
  const int threads = Executor::reserve(wanted);
  if (threads < wanted && !std::exchange(said, true)) {
    say(common, fmt::format("nibble: the system's limits do not allow {} threads: going on with {}",
                            wanted, threads));
  }
  return threads;
}

Exec make_exec(const Common& common) {
  Exec exec;
  exec.threads = threads_of(common);
  exec.stop_signal = stop_signal();
  if (!common.quiet && can_draw()) {
    exec.progress = [bar = std::make_shared<ProgressBar>()](const Progress& p) { bar->show(p); };
  }
  return exec;
}

std::unique_ptr<AtomicFile> open_report(const std::string& path, bool force) {
  namespace fs = std::filesystem;
  if (path.empty()) return nullptr;
  std::error_code none;
  if (!force && fs::exists(path, none) && !fs::is_character_file(path, none))
    throw io_error("exists already; use --force to replace it")
        .with_code(kExitCannotCreate)
        .in_file(path);
  return std::make_unique<AtomicFile>(path);
}

void print_out(std::string_view text) {
  while (!text.empty()) {
    const ssize_t n = ::write(STDOUT_FILENO, text.data(), text.size());
    if (n > 0) {
      text.remove_prefix(static_cast<size_t>(n));
    } else if (errno == EPIPE) {
      std::_Exit(0);  // the reader has seen enough
    } else if (errno != EINTR) {
      throw system_error(errno, "stdout", "write");
    }
  }
}

void say(const Common& common, std::string_view text) {
  if (!common.quiet) fmt::print(stderr, "{}\n", text);
}

}  // namespace nibble::cli
