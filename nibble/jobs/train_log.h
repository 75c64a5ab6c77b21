// The log of a training run: a JSON object a line.
#pragma once

#include <cstdio>
#include <string>

#include "nibble/train/trainer.h"

namespace nibble {

/// {"step", "loss", "tokens", "seconds"} of each step, {"step", "heldout_loss", "divergence"} of
/// each look. Each line is there as soon as it is known.
class TrainLog {
 public:
  /// Error{io} where the file cannot be written; what it holds is kept where `append`.
  TrainLog(const std::string& path, bool append);
  ~TrainLog();
  TrainLog(const TrainLog&) = delete;
  TrainLog& operator=(const TrainLog&) = delete;
  void add(const TrainStep& step);
  void add(const HeldoutLook& look);

 private:
  void line(const std::string& text);

  std::string path_;
  std::FILE* file_;
};

}  // namespace nibble
