#include "fuzz/parts.h"
#include "nibble/core/error.h"
#include "nibble/text/char_tokenizer.h"
#include "nibble/text/chat_data.h"
#include "nibble/text/chat_formats.h"

namespace {

const std::vector<nibble::ChatTemplate>& named_templates(const nibble::Tokenizer& tokenizer,
                                                         const std::tm& day) {
  static const std::vector<nibble::ChatTemplate> all = [&] {
    std::vector<nibble::ChatTemplate> out;
    for (const std::string_view name : nibble::chat_format_names())
      out.emplace_back(nibble::chat_format(name), tokenizer, day);
    return out;
  }();
  return all;
}

}  // namespace

// A user's turn, a system text, a chat template and a line of training data. Whatever the texts of
// people are, a named format writes them as they are; a template and the data are refused or make
// sequences whose answers lie in order within their ids.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto [user, system, source, line] = parts_of<4>(data, size);
  static const nibble::CharTokenizer tokenizer({U'a'}, true);
  const std::tm day = nibble::template_time("2026-01-15");
  for (const nibble::ChatTemplate& chat : named_templates(tokenizer, day)) {
    try {
      nibble::Conversation c;
      if (!system.empty()) c.add("system", system);
      c.add("user", user);
      (void)nibble::text_parts(chat.render(c));
    } catch (const nibble::Error&) {
    }
  }
  try {
    const nibble::ChatTemplate chat(source, tokenizer, day);
    (void)nibble::answer_ends(chat, tokenizer);
    for (const nibble::ChatSequence& s : nibble::chat_sequences(line, chat, tokenizer, 100)) {
      size_t done = 0;
      for (const auto& [begin, end] : s.answers) {
        if (begin < done || end < begin || end > s.ids.size()) __builtin_trap();
        done = end;
      }
    }
  } catch (const nibble::Error&) {
  }
  return 0;
}
