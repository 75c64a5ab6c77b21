// A dialogue with a chat model: the user's turns come one by one, each is answered before the next.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "nibble/jobs/generate.h"

namespace nibble {

/// What was said before stays in the KV cache: of a new turn only what changed in the text that the
/// template writes is read.
class Dialogue {
 public:
  /// Opens the model; errors as those of generate(). Of the job prompts, samples, batch and shift
  /// are not read.
  Dialogue(const GenerateJob& job, const Exec& exec, const NoticeHook& tell = {});
  ~Dialogue();
  Dialogue(const Dialogue&) = delete;
  Dialogue& operator=(const Dialogue&) = delete;

  /// The model's answer, shown as it comes. Error{corrupt} where the template refuses the turn,
  /// Error{invalid_argument} where the context is full.
  const GeneratedText& answer(std::string_view user, const Exec& exec, const ShowHook& show = {});

  /// All answers so far. Of the prompts it counts the tokens that were read.
  const GenerateResult& result() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace nibble
