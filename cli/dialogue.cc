#include "cli/dialogue.h"

#include <unistd.h>

#include "cli/load.h"
#include "cli/streams.h"
#include "nibble/core/error.h"
#include "nibble/jobs/dialogue.h"
#include "nibble/report/generate_report.h"

namespace nibble::cli {
namespace {

void refuse_what_is_not_read(const GenerateJob& job) {
  if (job.samples != 1)
    throw invalid_argument("--samples: a dialogue has one answer to each turn (or give --prompt)");
  if (job.shift)
    throw invalid_argument("--shift: a dialogue ends where the context is full (or give --prompt)");
}

}  // namespace

void run_dialogue(const Common& common, const GenerateJob& job) {
  refuse_what_is_not_read(job);
  const Exec exec = make_exec(common);
  Dialogue dialogue(job, exec, tell(common));
  const ShowHook show = common.json ? ShowHook() : print_raw;
  const bool asked = isatty(STDIN_FILENO) == 1 && !common.quiet;
  if (asked) put_message("Each line is a turn of yours; Ctrl-D ends the dialogue.");
  InputLines lines;
  while (true) {
    if (asked) put_raw_message("> ");
    const auto line = lines.next();
    if (!line) break;
    if (line->find_first_not_of(" \t") == std::string::npos) continue;
    dialogue.answer(*line, exec, show);
  }
  if (asked) put_raw_message("\n");
  if (!dialogue.result().texts.empty()) {
    if (common.json) print_raw(generate_json(dialogue.result()));
  } else if (isatty(STDIN_FILENO) != 1) {
    throw corrupt("expected a user's turn on each line, found none").in_file("standard input");
  }
}

}  // namespace nibble::cli
