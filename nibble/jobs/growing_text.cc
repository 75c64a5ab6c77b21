#include "nibble/jobs/growing_text.h"

#include <algorithm>

namespace nibble {
namespace {

// Where a stop string begins in `text`; npos where none does.
size_t find_stop(const std::string& text, const std::vector<std::string>& stop) {
  size_t first = std::string::npos;
  for (const std::string& s : stop) {
    if (!s.empty()) first = std::min(first, text.find(s));
  }
  return first;
}

}  // namespace

GrowingText::GrowingText(const Prompt& prompt, const Tokenizer& tokenizer,
                         const std::vector<std::string>& stop, const ShowHook& show, bool stream)
    : prompt_(prompt), stop_(stop), show_(show), decoder_(tokenizer), stream_(show && stream) {
  for (const int32_t id : prompt.ids) decoder_.push(id);
}

bool GrowingText::take(int32_t id) {
  if (stream_ && !begun_) show_(prompt_.shown);
  begun_ = true;
  const std::string piece = decoder_.push(id);
  text_ += piece;
  if (stream_ && stop_.empty()) show_(piece);
  return find_stop(text_, stop_) == std::string::npos;
}

std::string GrowingText::finish() {
  const std::string rest = decoder_.finish();
  text_ += rest;
  text_.resize(std::min(text_.size(), find_stop(text_, stop_)));
  if (show_ && !(stream_ && begun_)) show_(prompt_.shown);
  if (show_) show_((stream_ && stop_.empty() ? rest : text_) + "\n");
  return prompt_.shown + text_;
}

}  // namespace nibble
