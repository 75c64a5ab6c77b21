// A text as it grows token by token, and what of it is shown.
#pragma once

#include <string>
#include <vector>

#include "nibble/jobs/generate.h"
#include "nibble/jobs/prompt.h"

namespace nibble {

class GrowingText {
 public:
  /// All must outlive it. `show` may be empty; with `stream` it is called for every token.
  GrowingText(const Prompt& prompt, const Tokenizer& tokenizer,
              const std::vector<std::string>& stop, const ShowHook& show, bool stream);

  /// False where a stop string is there. The prompt is shown once the first token is, so that an
  /// error shows nothing.
  bool take(int32_t id);
  /// Shows what has not been shown; the whole text, what the prompt shows and what was written.
  std::string finish();

 private:
  const Prompt& prompt_;
  const std::vector<std::string>& stop_;
  const ShowHook& show_;
  StreamDecoder decoder_;
  bool stream_, begun_ = false;
  std::string text_;
};

}  // namespace nibble
