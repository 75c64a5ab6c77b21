// The progress bar on stderr: only on a terminal, at most ten times a second, with the time left.
#pragma once

#include <memory>

#include "nibble/core/exec.h"

namespace nibble::cli {

class ProgressBar {
 public:
  ProgressBar();
  ~ProgressBar();
  void show(const Progress& progress);
  /// Takes the bar off the screen, so that other text can be printed.
  void clear();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// True where stderr is a terminal that can redraw a line.
bool can_draw();
/// "3:07", "1:02:45"
std::string clock_time(double seconds);

}  // namespace nibble::cli
