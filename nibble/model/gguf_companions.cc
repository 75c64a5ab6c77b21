#include "nibble/model/gguf_companions.h"

#include <fmt/format.h>

#include <utility>

#include "nibble/core/error.h"
#include "nibble/core/files.h"
#include "nibble/core/in_file.h"
#include "nibble/core/json.h"
#include "nibble/core/posix.h"
#include "nibble/text/gguf_vocabulary.h"
#include "nibble/text/load.h"
#include "nibble/text/token_table.h"
#include "nibble/text/tokenizer_json.h"
#include "nibble/text/tokenizer_probe.h"

namespace nibble {
namespace {

constexpr std::string_view kTokenizer = "tokenizer.ggml.";

std::string at_tokenizer(std::string_view name) {
  return std::string(kTokenizer) + std::string(name);
}

// What llama.cpp takes from "general.sampling.*" (src/llama-arch.cpp) and generation_config.json
// has, too.
struct SamplingRow {
  std::string_view gguf, key;
  bool whole = false;
};
constexpr SamplingRow kSampling[] = {{"temp", "temperature"},
                                     {"top_k", "top_k", true},
                                     {"top_p", "top_p"},
                                     {"min_p", "min_p"},
                                     {"penalty_repeat", "repetition_penalty"}};

std::string at_sampling(std::string_view name) { return "general.sampling." + std::string(name); }

void put_text(const std::string& path, const std::string& text) {
  AtomicFile file(path);
  file.write(text);
  file.commit();
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
  // "tokenizer.chat_template", and further ones by the names in "tokenizer.chat_templates".
  std::vector<NamedTemplate> chat_templates() const override {
    return naming_file(path_, [&] {
      const GgufMetadata& m = file_->metadata();
      std::vector<NamedTemplate> out;
      if (auto text = m.string_if("tokenizer.chat_template")) out.push_back({"default", *text});
      for (const std::string& name : m.strings("tokenizer.chat_templates")) {
        if (auto text = m.string_if("tokenizer.chat_template." + name))
          out.push_back({name, std::move(*text)});
      }
      return out;
    });
  }

  std::vector<std::string> carry(const std::string& to) const override {
    std::vector<std::string> lines;
    try {
      carry_tokenizer(to, lines);
    } catch (const Error& e) {
      if (e.kind() != ErrorKind::corrupt && e.kind() != ErrorKind::unsupported) throw;
      lines.push_back(fmt::format(
          "the tokenizer is not carried over ({}): put the original model's files beside the new "
          "one, or write a .gguf file",
          e.what()));
    }
    return lines;
  }

 private:
  void carry_tokenizer(const std::string& to, std::vector<std::string>& lines) const {
    const std::shared_ptr<const Tokenizer> own = tokenizer();
    const BpeParts& parts = *own->bpe_parts();
    const GgufMetadata& m = file_->metadata();
    const std::string json = tokenizer_json(parts, lines);
    TokenizerSettings settings;
    settings.chat_template = chat_template();
    settings.context = m.integer_if(m.string("general.architecture") + ".context_length");
    if (const auto padding = m.integer_if(at_tokenizer("padding_token_id")))
      settings.padding = static_cast<int32_t>(*padding);
    put_text(to + "/tokenizer.json", json);
    put_text(to + "/tokenizer_config.json", tokenizer_config_json(parts, settings));
    put_text(to + "/generation_config.json", generation_settings(*own, settings.padding));
    const std::string line = line_of_other_ids(*own, *load_tokenizer(to));
    if (!line.empty())
      lines.push_back(
          fmt::format("the tokenizer.json that was written makes other ids than the file's own "
                      "tokenizer of {}",
                      line));
  }

  // The ids that end a text, and what the file says of sampling.
  std::string generation_settings(const Tokenizer& own, std::optional<int32_t> padding) const {
    const GgufMetadata& m = file_->metadata();
    JsonWriter out;
    out.begin_object();
    if (const auto bos = own.bos()) out.field("bos_token_id", int64_t{*bos});
    const std::vector<int32_t> ends = own.ends();
    if (ends.size() == 1) out.field("eos_token_id", int64_t{ends[0]});
    if (ends.size() > 1) out.array("eos_token_id", std::vector<int64_t>(ends.begin(), ends.end()));
    if (padding) out.field("pad_token_id", int64_t{*padding});
    bool samples = false;
    for (const SamplingRow& row : kSampling) {
      const auto number = m.number_if(at_sampling(row.gguf));
      if (!number) continue;
      samples = true;
      if (row.whole)
        out.field(row.key, m.integer(at_sampling(row.gguf)));
      else
        out.field(row.key, *number);
    }
    if (samples) out.field("do_sample", true);
    return out.end_object().finish();
  }

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
