#include "nibble/core/error.h"
#include "nibble/text/load.h"

// The first bytes, up to a zero, are a text to encode with the tokenizer.json that follows. Nothing
// but an Error may come out, and what was encoded decodes.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::string_view rest(reinterpret_cast<const char*>(data), size);
  const size_t end = std::min(rest.find('\0'), rest.size());
  const std::string_view text = rest.substr(0, end);
  rest.remove_prefix(std::min(end + 1, rest.size()));
  try {
    const nibble::BpeTokenizer tokenizer(nibble::parse_tokenizer_json(rest));
    (void)tokenizer.decode(tokenizer.encode(text, true));
  } catch (const nibble::Error&) {
  }
  return 0;
}
