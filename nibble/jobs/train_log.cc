#include "nibble/jobs/train_log.h"

#include <cerrno>

#include "nibble/core/error.h"
#include "nibble/core/json.h"

namespace nibble {

TrainLog::TrainLog(const std::string& path, bool append)
    : path_(path), file_(std::fopen(path.c_str(), append ? "ab" : "wb")) {
  if (file_ == nullptr) throw system_error(errno, path_, "open", Access::create);
}

TrainLog::~TrainLog() { std::fclose(file_); }

// A document of numbers, on one line.
void TrainLog::line(const std::string& text) {
  std::string whole;
  for (const char c : text) {
    const bool space = c == '\n' || c == ' ';
    if (!space || (!whole.empty() && whole.back() != ' ')) whole += space ? ' ' : c;
  }
  whole.back() = '\n';
  if (std::fwrite(whole.data(), 1, whole.size(), file_) != whole.size() || std::fflush(file_) != 0)
    throw system_error(errno, path_, "write", Access::write);
}

void TrainLog::add(const TrainStep& s) {
  JsonWriter out;
  out.begin_object().field("step", s.step).field("loss", s.loss).field("tokens", s.tokens);
  line(out.field("seconds", s.seconds).end_object().finish());
}

void TrainLog::add(const HeldoutLook& look) {
  JsonWriter out;
  out.begin_object().field("step", look.step).field("heldout_loss", double{look.loss});
  line(out.field("divergence", double{look.divergence}).end_object().finish());
}

}  // namespace nibble
