#include "verb.h"

#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include <CLI/CLI.hpp>
#include <string>
#include <tuple>
#include <vector>

#include "cli/run.h"
#include "cli/verbs.h"
#include "watch.h"

namespace nibble::python {
namespace {

using Words = std::vector<std::string>;

std::tuple<std::string, std::string, std::string> run_verb(const Words& words, nb::object progress,
                                                           nb::object message) {
  Watch watch(std::move(progress), std::move(message));
  cli::Host host;
  host.exec.stop_signal = watch.stop().flag();
  if (watch.wants_progress()) {
    host.exec.progress = [&watch](const Progress& p) {
      watch.progress(p.task, p.done, p.total, p.detail);
    };
  }
  host.message = [&watch](std::string_view line) { watch.message(line); };
  watch.run([&] {
    CLI::App app("nibble", "nibble");
    cli::Common common;
    common.host = &host;
    common.command_line = cli::command_line(words);
    cli::add_verbs(app, common);
    cli::run_words(app, words);
  });
  return {host.found.json, host.found.text, host.found.html};
}

int command(Words words) {
  const nb::gil_scoped_release unlocked;
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  return cli::run_command(static_cast<int>(words.size()), argv.data());
}

}  // namespace

void bind_verbs(nb::module_& m) {
  m.def("verb", run_verb, nb::arg("words"), nb::arg("progress").none(), nb::arg("message").none(),
        "Runs a verb by the words of its command line; its result as JSON, in words, as a page.");
  m.def("command", command, nb::arg("argv"),
        "The command, as a process of its own: its signal handlers stay. Returns its exit code.");
}

}  // namespace nibble::python
