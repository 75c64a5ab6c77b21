#include "nibble/jobs/tokenize.h"

#include "nibble/model/gguf_companions.h"
#include "nibble/model/hf_cache.h"
#include "nibble/text/tokenizer.h"

namespace nibble {

TokenizeResult tokenize(const std::string& model, std::string_view text, bool special) {
  const std::string path = resolve_model(model);
  const std::shared_ptr<const Tokenizer> tokenizer =
      is_gguf(path) ? gguf_companions(path)->tokenizer() : load_tokenizer(path);
  TokenizeResult out{std::string(tokenizer->kind()), tokenizer->encode(text, special), {}};
  for (const int32_t id : out.ids) out.tokens.push_back(tokenizer->token_text(id));
  return out;
}

}  // namespace nibble
