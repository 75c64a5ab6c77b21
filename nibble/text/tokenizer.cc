#include "nibble/text/tokenizer.h"

#include "nibble/text/utf8.h"

namespace nibble {

std::string Tokenizer::decode(std::span<const int32_t> ids, bool skip_special) const {
  std::string out;
  DecodeState state;
  for (const int32_t id : ids) {
    if (!skip_special || !is_special(id)) append_piece(id, state, out);
  }
  return is_utf8(out) ? out : repaired_utf8(out);
}

std::vector<int32_t> Tokenizer::ends() const {
  const auto one = eos();
  return one ? std::vector<int32_t>{*one} : std::vector<int32_t>{};
}

std::string StreamDecoder::push(int32_t id) {
  if (skip_special_ && tokenizer_.is_special(id)) return {};
  tokenizer_.append_piece(id, state_, held_);
  const size_t whole = held_.size() - unfinished_utf8(held_);
  std::string out = repaired_utf8(std::string_view(held_).substr(0, whole));
  held_.erase(0, whole);
  return out;
}

std::string StreamDecoder::finish() {
  std::string out = repaired_utf8(held_);
  held_.clear();
  state_ = {};
  return out;
}

}  // namespace nibble
