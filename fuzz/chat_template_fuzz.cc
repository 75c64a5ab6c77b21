#include "fuzz/parts.h"
#include "nibble/core/error.h"
#include "nibble/text/char_tokenizer.h"
#include "nibble/text/chat_template.h"
#include "nibble/text/template_shape.h"

// A user's turn, a system text and a chat template. The shape of any template is found and bounded;
// one that is known renders, as does every format with these texts.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto [user, system, text] = parts_of<3>(data, size);
  if (nibble::template_shape(text).size() > 4 * text.size() + 16) __builtin_trap();
  (void)nibble::recognise_chat_template(text);
  static const nibble::CharTokenizer tokenizer({U'a'}, true);
  for (const std::string_view name : nibble::chat_format_names()) {
    try {
      const auto& format = nibble::chat_format(name);
      const auto given = system.empty() ? std::nullopt : std::optional(std::string(system));
      (void)nibble::chat_prompt(format, tokenizer, given, user, "26 Jul 2024");
    } catch (const nibble::Error&) {
    }
  }
  return 0;
}
