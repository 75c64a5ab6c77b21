#include "nibble/model/gguf_companions.h"

#include <fmt/format.h>

#include <utility>

#include "nibble/core/error.h"
#include "nibble/core/in_file.h"
#include "nibble/core/posix.h"
#include "nibble/text/gguf_vocabulary.h"
#include "nibble/text/load.h"
#include "nibble/text/token_table.h"

namespace nibble {
namespace {

constexpr std::string_view kTokenizer = "tokenizer.ggml.";

std::string at_tokenizer(std::string_view name) {
  return std::string(kTokenizer) + std::string(name);
}

std::vector<int32_t> narrow(const std::vector<int64_t>& wide) { return {wide.begin(), wide.end()}; }

// Before anything is made of them: a byte of the file may become many.
void refuse_long_lists(const GgufMetadata& m) {
  for (const std::string_view name :
       {"tokens", "token_type", "scores", "merges", "eog_token_ids"}) {
    const GgufValue* list = m.find(at_tokenizer(name));
    if (list == nullptr || list->count <= static_cast<uint64_t>(kMaxTokens)) continue;
    throw corrupt(fmt::format("{} items, limit {}", list->count, kMaxTokens))
        .at("key " + in_quotes(at_tokenizer(name)));
  }
}

GgufVocabulary vocabulary_of(const GgufMetadata& m) {
  refuse_long_lists(m);
  GgufVocabulary v;
  v.model = m.string(at_tokenizer("model"));
  v.pre = m.string_if(at_tokenizer("pre")).value_or("");
  v.tokens = m.strings(at_tokenizer("tokens"));
  v.token_types = narrow(m.integers(at_tokenizer("token_type")));
  v.scores = m.floats(at_tokenizer("scores"));
  v.merges = m.strings(at_tokenizer("merges"));
  v.bos = m.integer_if(at_tokenizer("bos_token_id"));
  v.eos = m.integer_if(at_tokenizer("eos_token_id"));
  v.eot = m.integer_if(at_tokenizer("eot_token_id"));
  v.eom = m.integer_if(at_tokenizer("eom_token_id"));
  v.unknown = m.integer_if(at_tokenizer("unknown_token_id"));
  v.padding = m.integer_if(at_tokenizer("padding_token_id"));
  v.mask = m.integer_if(at_tokenizer("mask_token_id"));
  v.add_bos = m.boolean_if(at_tokenizer("add_bos_token"));
  v.add_eos = m.boolean_if(at_tokenizer("add_eos_token"));
  v.add_space_prefix = m.boolean_if(at_tokenizer("add_space_prefix"));
  v.remove_extra_whitespaces = m.boolean_if(at_tokenizer("remove_extra_whitespaces"));
  v.ends = m.integers(at_tokenizer("eog_token_ids"));
  v.general_name = m.string_if("general.name").value_or("");
  return v;
}

class GgufCompanions : public Companions {
 public:
  GgufCompanions(std::shared_ptr<const GgufFile> file, std::string path)
      : file_(std::move(file)), path_(std::move(path)) {}

  std::shared_ptr<const Tokenizer> tokenizer() const override {
    if (tokenizer_ != nullptr) return tokenizer_;
    naming_file(path_, [&] {
      std::vector<std::string> warnings;
      BpeParts parts = parse_gguf_vocabulary(vocabulary_of(file_->metadata()), warnings);
      parts.file = path_;
      tokenizer_ = std::make_shared<const BpeTokenizer>(std::move(parts));
    });
    return tokenizer_;
  }
  std::optional<std::string> chat_template() const override {
    return naming_file(path_,
                       [&] { return file_->metadata().string_if("tokenizer.chat_template"); });
  }

  std::vector<std::string> carry(const std::string& /*to*/) const override {
    return {
        "tokenizer and chat template stand in the GGUF file and are not carried over: put the "
        "original model's files beside the new one, or write a .gguf file"};
  }

 private:
  std::shared_ptr<const GgufFile> file_;
  std::string path_;
  mutable std::shared_ptr<const Tokenizer> tokenizer_;
};

}  // namespace

std::shared_ptr<const Companions> gguf_companions(std::shared_ptr<const GgufFile> file,
                                                  const std::string& path) {
  constexpr std::string_view kNone = "none";
  const GgufMetadata& m = file->metadata();
  const bool has_one =
      m.contains(at_tokenizer("model")) && m.string(at_tokenizer("model")) != kNone;
  if (!has_one) return of_file_in(split_path(path).folder);
  return std::make_shared<GgufCompanions>(std::move(file), path);
}

std::string tokenizer_doubt(const GgufMetadata& metadata) {
  return missing_pre_tokenizer(metadata.string_if(at_tokenizer("model")).value_or(""),
                               metadata.string_if(at_tokenizer("pre")).value_or(""));
}

std::shared_ptr<const Companions> gguf_companions(const std::string& path) {
  return gguf_companions(std::make_shared<const GgufFile>(GgufFile::open(path)), path);
}

}  // namespace nibble
