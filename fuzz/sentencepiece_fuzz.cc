#include "nibble/core/error.h"
#include "nibble/text/load.h"

// Nothing but an Error may come out of any tokenizer.model or tokenizer.bin.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto bytes = std::as_bytes(std::span(data, size));
  for (const bool llama2c : {false, true}) {
    try {
      const nibble::BpeTokenizer tokenizer(llama2c ? nibble::parse_llama2c_tokenizer(bytes)
                                                   : nibble::parse_sentencepiece(bytes));
      (void)tokenizer.decode(tokenizer.encode("a b\xff \xc3\xa9 the the", true));
    } catch (const nibble::Error&) {
    }
  }
  return 0;
}
