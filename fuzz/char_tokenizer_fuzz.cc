#include "fuzz/parts.h"
#include "nibble/core/error.h"
#include "nibble/text/char_tokenizer.h"
#include "nibble/text/line_data.h"

namespace {

// Training data: lines or running text, whose ids are all the tokenizer's.
void cut(std::string_view text, bool lines) {
  const auto tokenizer = nibble::CharTokenizer::from_text(text, lines);
  const auto again = nibble::CharTokenizer::from_json(tokenizer.to_json());
  if (again.vocab_size() != tokenizer.vocab_size()) __builtin_trap();
  (void)nibble::looks_like_lines(text, 8);
  const nibble::SequenceData data = nibble::sequences(text, tokenizer, 8, 1);
  for (const auto* part : {&data.train, &data.heldout}) {
    for (const auto& ids : *part) {
      for (const int32_t id : ids)
        if (id < 0 || id >= tokenizer.vocab_size()) __builtin_trap();
    }
  }
}

template <class Work>
void allow_error(Work work) {
  try {
    work();
  } catch (const nibble::Error&) {
  }
}

}  // namespace

// nibble's own tokenizer.json, and a text: with the tokenizer, and as training data.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto [json, text] = parts_of<2>(data, size);
  allow_error([json = json, text = text] {
    const auto tokenizer = nibble::CharTokenizer::from_json(json);
    const auto ids = tokenizer.encode(text);
    if (tokenizer.decode(ids) != text) __builtin_trap();
  });
  for (const bool lines : {false, true}) allow_error([text = text, lines] { cut(text, lines); });
  return 0;
}
