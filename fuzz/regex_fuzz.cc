#include "fuzz/parts.h"
#include "nibble/core/error.h"
#include "nibble/text/pre_tokenizer.h"
#include "nibble/text/utf8.h"

// A pattern of a tokenizer file and a text that it cuts. Nothing but an Error may come out, and the
// parts are the text, one behind another.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto [pattern, bytes] = parts_of<2>(data, size);
  if (!nibble::is_utf8(pattern)) return 0;
  const std::string text = nibble::repaired_utf8(bytes);
  try {
    const nibble::Splitter splitter{nibble::Regex(pattern)};
    std::vector<nibble::TextRange> parts{{0, text.size()}};
    nibble::RegexScratch scratch(text.size());
    splitter.apply(text, parts, scratch);
    size_t at = 0;
    for (const nibble::TextRange part : parts) {
      if (part.begin != at) __builtin_trap();
      at = part.end;
    }
    if (at != text.size()) __builtin_trap();
  } catch (const nibble::Error&) {
  }
  return 0;
}
