#include "nibble/jobs/chat.h"

#include "nibble/core/in_file.h"
#include "nibble/text/chat_formats.h"

namespace nibble {
namespace {

std::vector<TemplateVariable> template_args(const std::vector<std::string>& given) {
  std::vector<TemplateVariable> out;
  out.reserve(given.size());
  for (const std::string& one : given) out.push_back(parse_template_arg(one));
  return out;
}

ChatTemplate template_of(const ChatChoice& choice, const Companions* companions,
                         const Tokenizer& tokenizer, const std::string& path, bool tools) {
  const std::tm now = template_time(choice.date);
  if (!choice.format.empty()) return {chat_format(choice.format), tokenizer, now};
  return naming_file(path, [&] {
    const auto templates =
        companions == nullptr ? std::vector<NamedTemplate>() : companions->chat_templates();
    return ChatTemplate(choose_template(templates, tools), tokenizer, now);
  });
}

}  // namespace

Chat::Chat(const ChatChoice& choice, const Companions* companions, const Tokenizer& tokenizer,
           std::string path, bool tools)
    : args_(template_args(choice.args)),
      path_(std::move(path)),
      template_(template_of(choice, companions, tokenizer, path_, tools)) {}

std::vector<TemplateText> Chat::made(Conversation conversation) const {
  for (const TemplateVariable& arg : args_) conversation.set(arg.name, arg.value);
  return naming_file(path_, [&] { return template_.render(conversation); });
}

std::vector<int32_t> Chat::ends(const Tokenizer& tokenizer) const {
  return answer_ends(template_, tokenizer);
}

}  // namespace nibble
