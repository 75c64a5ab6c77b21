#include "nibble/jobs/tokenize.h"

#include <filesystem>

#include "nibble/core/in_file.h"
#include "nibble/core/posix.h"
#include "nibble/model/gguf_companions.h"
#include "nibble/model/hf_cache.h"
#include "nibble/text/tokenizer.h"

namespace nibble {
namespace {

TokenizeResult result_of(const Tokenizer& tokenizer, std::vector<int32_t> ids) {
  TokenizeResult out{std::string(tokenizer.kind()), std::move(ids), {}, {}};
  for (const int32_t id : out.ids) out.tokens.push_back(tokenizer.token_text(id));
  return out;
}

// What comes with a model, or lies beside a tokenizer's file.
std::shared_ptr<const Companions> companions_at(const std::string& path) {
  if (is_gguf(path)) return gguf_companions(path);
  std::error_code ignored;
  const bool folder = std::filesystem::is_directory(path, ignored);
  return folder ? of_folder(path) : of_file_in(split_path(path).folder);
}

}  // namespace

TokenizeResult tokenize(const std::string& model, std::string_view text, bool special) {
  const std::string path = resolve_model(model);
  const std::shared_ptr<const Tokenizer> tokenizer =
      is_gguf(path) ? gguf_companions(path)->tokenizer() : load_tokenizer(path);
  return result_of(*tokenizer, tokenizer->encode(text, special));
}

TokenizeResult tokenize_chat(const std::string& model, const Text& given,
                             const ChatChoice& choice) {
  const Conversation conversation =
      naming_file(given.name, [&] { return Conversation::parse(given.text); });
  const std::string path = resolve_model(model);
  const std::shared_ptr<const Companions> companions = companions_at(path);
  const std::shared_ptr<const Tokenizer> tokenizer = companions->tokenizer();
  const Chat chat(choice, companions.get(), *tokenizer, path, conversation.has_tools());
  const std::vector<TemplateText> made = chat.made(conversation);
  TokenizeResult out = result_of(*tokenizer, tokenizer->encode_parts(text_parts(made)));
  out.text = whole_text(made);
  return out;
}

}  // namespace nibble
