#include "cli/command.h"

#include <fmt/format.h>

#include <atomic>
#include <memory>

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
  static std::atomic<bool> said = false;
  const int wanted = common.threads > 0 ? common.threads : default_threads();
  const int threads = Executor::reserve(wanted);
  if (threads < wanted && !said.exchange(true)) {
    say(common, fmt::format("nibble: the system's limits do not allow {} threads: going on with {}",
                            wanted, threads));
  }
  return threads;
}

Exec make_exec(const Common& common) {
  if (common.host != nullptr) {
    Exec exec = common.host->exec;
    exec.threads = threads_of(common);
    return exec;
  }
  Exec exec;
  exec.threads = threads_of(common);
  exec.stop_signal = stop_signal();
  if (!common.quiet && can_draw()) {
    const auto bar = std::make_shared<ProgressBar>();
    common.bar = bar;
    exec.progress = [bar](const Progress& p) { bar->show(p); };
  }
  return exec;
}

void say(const Common& common, std::string_view text) {
  if (common.quiet) return;
  if (common.host != nullptr) return common.host->message(text);
  if (const auto bar = common.bar.lock()) bar->clear();
  put_message(text);
}

void show(const Common& common, const std::function<std::string()>& json,
          const std::function<std::string()>& text) {
  if (common.host != nullptr) {
    common.host->found.json = json();
    common.host->found.text = text();
    return;
  }
  common.json ? print_raw(json()) : print_out(text());
}

}  // namespace nibble::cli
