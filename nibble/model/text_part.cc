#include "nibble/model/text_part.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "nibble/core/json.h"

namespace nibble {
namespace {

constexpr std::string_view kSection = "text_config";
// Keys of the outer object that hold for all parts.
constexpr std::string_view kOuter[] = {"dtype",        "torch_dtype",        "tie_word_embeddings",
                                       "bos_token_id", "eos_token_id",       "pad_token_id",
                                       "quantization", "quantization_config"};

// What transformers takes where the object does not say it (configuration_gemma3.py and
// _gemma4.py), which published files leave out.
struct Otherwise {
  std::string_view type, key;
  int64_t value;
};
constexpr Otherwise kOtherwise[] = {
    {"gemma3_text", "vocab_size", 262208},      {"gemma3_text", "hidden_size", 2304},
    {"gemma3_text", "intermediate_size", 9216}, {"gemma3_text", "num_hidden_layers", 26},
    {"gemma3_text", "num_attention_heads", 8},  {"gemma3_text", "num_key_value_heads", 4},
    {"gemma3_text", "head_dim", 256},           {"gemma3_text", "max_position_embeddings", 131072},
    {"gemma4_text", "vocab_size", 262144},      {"gemma4_text", "hidden_size", 2304},
    {"gemma4_text", "intermediate_size", 9216}, {"gemma4_text", "num_hidden_layers", 30},
    {"gemma4_text", "num_attention_heads", 8},  {"gemma4_text", "num_key_value_heads", 4},
    {"gemma4_text", "head_dim", 256},           {"gemma4_text", "max_position_embeddings", 131072}};

bool is_in(std::string_view key, const std::vector<std::string>& keys) {
  return std::find(keys.begin(), keys.end(), key) != keys.end();
}

// Copies what stands in the section, and keys of the outer object that it lacks.
class TextPartCopier : public JsonHandler {
 public:
  TextPartCopier(JsonWriter& out, std::vector<std::string> own) : out_(out), own_(std::move(own)) {}

  void on_object_begin() override {
    if (copies()) out_.begin_object();
    ++depth_;
  }
  void on_object_end() override {
    --depth_;
    if (copies()) out_.end_object();
  }
  void on_array_begin() override {
    if (copies()) out_.begin_array();
    ++depth_;
  }
  void on_array_end() override {
    --depth_;
    if (copies()) out_.end_array();
  }
  void on_key(std::string_view key) override {
    if (depth_ == 1) {
      inside_ = key == kSection;
      const bool outer = std::find(std::begin(kOuter), std::end(kOuter), key) != std::end(kOuter);
      copied_ = outer && !is_in(key, own_);
    }
    if (depth_ == 1 ? copied_ : inside_ || copied_) out_.key(key);
  }
  void on_string(std::string_view v) override {
    if (copies()) out_.value(v);
  }
  void on_integer(int64_t v) override {
    if (copies()) out_.value(v);
  }
  void on_number(double, std::string_view text) override {
    if (copies()) out_.number_text(text);
  }
  void on_boolean(bool v) override {
    if (copies()) out_.value(v);
  }
  void on_null() override {
    if (copies()) out_.null();
  }

 private:
  // The outermost object and the section's own braces are the caller's.
  bool copies() const { return (depth_ >= 1 && copied_) || (depth_ >= 2 && inside_); }

  JsonWriter& out_;
  const std::vector<std::string> own_;
  int depth_ = 0;
  bool inside_ = false, copied_ = false;
};

}  // namespace

std::string text_part(std::string_view config) {
  const JsonFields fields = JsonFields::parse(config);
  if (!fields.has_section(kSection)) return std::string(config);
  const std::vector<std::string> own = fields.keys(kSection);
  JsonWriter out;
  out.begin_object();
  std::string type = fields.string_or("text_config.model_type", "");
  if (type.empty()) {
    type = fields.string("model_type") + "_text";
    out.field("model_type", type);
  }
  TextPartCopier merger(out, own);
  parse_json(config, merger, 0, JsonNumbers::python);
  for (const Otherwise& o : kOtherwise) {
    if (o.type == type && !is_in(o.key, own)) out.field(o.key, o.value);
  }
  return out.end_object().finish();
}

}  // namespace nibble
