#include "nibble/model/onnx_genai.h"

#include <algorithm>
#include <vector>

#include "nibble/core/in_file.h"
#include "nibble/core/json.h"
#include "nibble/format/onnx_proto.h"

namespace nibble {
namespace {

// Types of onnxruntime-genai that mean the same as the model_type of a config.json. Of gpt2 it
// expects keys and values in one tensor; "decoder" is any graph with these inputs and outputs.
constexpr std::string_view kKnown[] = {"gemma2", "llama", "mistral", "qwen2", "qwen3"};
constexpr std::string_view kAnyDecoder = "decoder";

std::string_view genai_type(std::string_view architecture) {
  const bool known =
      std::find(std::begin(kKnown), std::end(kKnown), architecture) != std::end(kKnown);
  return known ? architecture : kAnyDecoder;
}

struct Tokens {
  std::vector<int64_t> begin, end, padding;
};

void add_new(std::vector<int64_t>& to, int64_t id) {
  if (std::find(to.begin(), to.end(), id) == to.end()) to.push_back(id);
}

// A number, or a list of them.
void add_ids(const JsonFields& fields, const std::string& key, std::vector<int64_t>& to) {
  if (fields.contains(key + ".0")) {
    for (const int64_t id : fields.integers(key)) add_new(to, id);
  } else if (fields.contains(key) && !fields.is_null(key)) {
    add_new(to, fields.integer(key));
  }
}

void add_tokenizers(const Model& model, Tokens& out) {
  try {
    const auto tokenizer = model.companions->tokenizer();
    if (tokenizer == nullptr) return;
    if (tokenizer->bos()) add_new(out.begin, *tokenizer->bos());
    for (const int32_t id : tokenizer->ends()) add_new(out.end, id);
  } catch (const Error& e) {
    if (e.kind() != ErrorKind::not_found && e.kind() != ErrorKind::unsupported) throw;
  }
}

Tokens tokens_of(const Model& model) {
  Tokens out;
  for (const std::string_view name : {"generation_config.json", "config.json"}) {
    const auto file = model.settings(name);
    if (!file) continue;
    naming_file(file->name, [&] {
      const JsonFields fields = JsonFields::parse(file->text);
      add_ids(fields, "bos_token_id", out.begin);
      add_ids(fields, "eos_token_id", out.end);
      add_ids(fields, "pad_token_id", out.padding);
    });
  }
  if (model.companions != nullptr) add_tokenizers(model, out);
  return out;
}

void write_names(JsonWriter& out) {
  out.key("inputs").begin_object();
  out.field("input_ids", "input_ids").field("attention_mask", "attention_mask");
  out.field("position_ids", "position_ids");
  out.field("past_key_names", "past_key_values.%d.key");
  out.field("past_value_names", "past_key_values.%d.value").end_object();
  out.key("outputs").begin_object().field("logits", "logits");
  out.field("present_key_names", "present.%d.key");
  out.field("present_value_names", "present.%d.value").end_object();
}

// Without the option onnxruntime rounds the inputs of int8 matrices to 8 bits.
void write_session(JsonWriter& out) {
  out.key("session_options").begin_object().field("log_id", "onnxruntime-genai");
  out.field("session.qdq_matmulnbits_accuracy_level", "1");
  out.key("provider_options").begin_array().end_array().end_object();
}

void write_decoder(const DecoderConfig& c, JsonWriter& out) {
  out.key("decoder").begin_object();
  write_session(out);
  out.field("filename", kOnnxModel).field("head_size", c.head_dim);
  out.field("hidden_size", c.hidden_size);
  write_names(out);
  out.field("num_attention_heads", c.heads).field("num_hidden_layers", c.layers);
  out.field("num_key_value_heads", c.kv_heads).end_object();
}

}  // namespace

std::string genai_config(const Model& model) {
  const DecoderConfig& c = model.decoder_config();
  const Tokens tokens = tokens_of(model);
  JsonWriter out;
  out.begin_object().key("model").begin_object();
  if (!tokens.begin.empty()) out.field("bos_token_id", tokens.begin.front());
  out.field("context_length", c.context);
  write_decoder(c, out);
  if (!tokens.end.empty()) out.array("eos_token_id", tokens.end);
  const auto& padding = tokens.padding.empty() ? tokens.end : tokens.padding;
  if (!padding.empty()) out.field("pad_token_id", padding.front());
  out.field("type", genai_type(c.architecture)).field("vocab_size", c.vocab_size).end_object();
  out.key("search").begin_object().field("do_sample", false).field("max_length", c.context);
  out.field("past_present_share_buffer", false).end_object();
  return out.end_object().finish();
}

}  // namespace nibble
