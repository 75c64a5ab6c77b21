#include "nibble/model/config_keys.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

namespace nibble {
namespace {

// What every model may say and what does not change its logits: how it was trained, what its tokens
// are, how texts are chosen, who wrote the file.
constexpr std::string_view kHarmless[] = {"architectures",
                                          "model_type",
                                          "dtype",
                                          "torch_dtype",
                                          "use_bfloat16",
                                          "use_cache",
                                          "transformers_version",
                                          "transformers.js_config",
                                          "_name_or_path",
                                          "name_or_path",
                                          "_commit_hash",
                                          "_attn_implementation",
                                          "_attn_implementation_autoset",
                                          "attn_implementation",
                                          "_flash_attn_2_enabled",
                                          "_num_labels",
                                          "_from_model_config",
                                          "model_name",
                                          "unsloth_fixed",
                                          "unsloth_version",
                                          "quantization_config",
                                          "quantization",
                                          "return_dict",
                                          "output_hidden_states",
                                          "output_attentions",
                                          "torchscript",
                                          "tf_legacy_loss",
                                          "chunk_size_feed_forward",
                                          "gradient_checkpointing",
                                          "initializer_range",
                                          "initializer_factor",
                                          "init_std",
                                          "pretraining_tp",
                                          "attention_dropout",
                                          "hidden_dropout",
                                          "dropout",
                                          "embd_pdrop",
                                          "resid_pdrop",
                                          "attn_pdrop",
                                          "classifier_dropout",
                                          "is_decoder",
                                          "is_llama_config",
                                          "id2label",
                                          "label2id",
                                          "num_labels",
                                          "problem_type",
                                          "finetuning_task",
                                          "task_specific_params",
                                          "tokenizer_class",
                                          "prefix",
                                          "bos_token_id",
                                          "eos_token_id",
                                          "pad_token_id",
                                          "unk_token_id",
                                          "sep_token_id",
                                          "cls_token_id",
                                          "mask_token_id",
                                          "decoder_start_token_id",
                                          "forced_bos_token_id",
                                          "forced_eos_token_id",
                                          "suppress_tokens",
                                          "begin_suppress_tokens",
                                          "bad_words_ids",
                                          "max_length",
                                          "min_length",
                                          "do_sample",
                                          "early_stopping",
                                          "num_beams",
                                          "num_beam_groups",
                                          "diversity_penalty",
                                          "temperature",
                                          "top_k",
                                          "top_p",
                                          "typical_p",
                                          "repetition_penalty",
                                          "length_penalty",
                                          "no_repeat_ngram_size",
                                          "encoder_no_repeat_ngram_size",
                                          "num_return_sequences",
                                          "output_scores",
                                          "return_dict_in_generate",
                                          "remove_invalid_values",
                                          "exponential_decay_length_penalty",
                                          "model_max_length",
                                          "max_sequence_length",
                                          "seq_length",
                                          "max_seq_len",
                                          "tokenizer_model_max_length",
                                          "tokenizer_padding_side",
                                          "padding_side"};

// What means that a key changes nothing: that it is off, that it is 1, that every layer sees all.
enum class Quiet { off, one, full };

struct ChangingRow {
  std::string_view key;
  Quiet quiet;
};
// Keys of other architectures that change what is computed wherever they stand.
constexpr ChangingRow kChanging[] = {{"partial_rotary_factor", Quiet::one},
                                     {"rotary_pct", Quiet::one},
                                     {"rotary_dim", Quiet::off},
                                     {"rope_interleaved", Quiet::off},
                                     {"rope_interleave", Quiet::off},
                                     {"rope_local_base_freq", Quiet::off},
                                     {"no_rope_layers", Quiet::off},
                                     {"use_mrope", Quiet::off},
                                     {"alibi", Quiet::off},
                                     {"position_embedding_type", Quiet::off},
                                     {"layer_types", Quiet::full},
                                     {"use_sliding_window", Quiet::off},
                                     {"attention_chunk_size", Quiet::off},
                                     {"attention_bias", Quiet::off},
                                     {"qkv_bias", Quiet::off},
                                     {"mlp_bias", Quiet::off},
                                     {"use_bias", Quiet::off},
                                     {"use_qk_norm", Quiet::off},
                                     {"qk_layernorm", Quiet::off},
                                     {"clip_qkv", Quiet::off},
                                     {"attn_logit_softcapping", Quiet::off},
                                     {"final_logit_softcapping", Quiet::off},
                                     {"query_pre_attn_scalar", Quiet::off},
                                     {"attention_multiplier", Quiet::off},
                                     {"embedding_multiplier", Quiet::one},
                                     {"residual_multiplier", Quiet::one},
                                     {"logits_scaling", Quiet::one},
                                     {"logit_scale", Quiet::one},
                                     {"scale_emb", Quiet::one},
                                     {"scale_depth", Quiet::off},
                                     {"use_parallel_residual", Quiet::off},
                                     {"parallel_attn", Quiet::off},
                                     {"num_local_experts", Quiet::off},
                                     {"num_experts", Quiet::off},
                                     {"n_routed_experts", Quiet::off},
                                     {"num_experts_per_tok", Quiet::off},
                                     {"kv_lora_rank", Quiet::off},
                                     {"pruned_heads", Quiet::off},
                                     {"add_cross_attention", Quiet::off},
                                     {"is_encoder_decoder", Quiet::off},
                                     {"compression_config", Quiet::off},
                                     {"quantize_activations", Quiet::off}};

// As config files write that something is not there.
bool is_off(const JsonFields& f, const std::string& key) {
  const std::string value = f.shown(key);
  if (value == "an object" || value == "an array") return f.keys(key).empty();
  return value == "null" || value == "false" || value == "0";
}

bool is_quiet(const JsonFields& f, const std::string& key, Quiet quiet) {
  if (quiet == Quiet::off) return is_off(f, key);
  if (quiet == Quiet::one) return f.number_or(key, 1) == 1;
  const std::vector<std::string> kinds = f.strings(key);
  return std::all_of(kinds.begin(), kinds.end(),
                     [](const std::string& kind) { return kind == "full_attention"; });
}

const ChangingRow* find_changing(std::string_view key) {
  const auto row = std::find_if(std::begin(kChanging), std::end(kChanging),
                                [&](const ChangingRow& r) { return r.key == key; });
  return row == std::end(kChanging) ? nullptr : row;
}

bool is_one_of(std::string_view key, std::span<const std::string_view> keys) {
  return std::find(keys.begin(), keys.end(), key) != keys.end();
}

Error refusal(const JsonFields& f, const std::string& key, std::string_view model_type) {
  return unsupported(fmt::format("{} is not what {} is run with here (remove the key if the model "
                                 "was trained without it)",
                                 f.shown(key), model_type))
      .at("key " + in_quotes(key));
}

std::string warning(const std::vector<std::string>& unknown, std::string_view model_type) {
  constexpr size_t kNamed = 5;
  std::vector<std::string> names;
  for (size_t i = 0; i < std::min(kNamed, unknown.size()); ++i)
    names.push_back(in_quotes(unknown[i], 60));
  const bool one = unknown.size() == 1;
  return fmt::format(
      "config.json: {}{} {} that nibble knows for {}: if {} what is computed, "
      "nibble computes something else",
      fmt::join(names, ", "), unknown.size() > kNamed ? ", ..." : "",
      one ? "is not a key" : "are not keys", model_type, one ? "it changes" : "they change");
}

}  // namespace

std::vector<std::string> check_other_keys(const JsonFields& f, std::string_view model_type,
                                          std::span<const std::string_view> harmless) {
  std::vector<std::string> unknown;
  for (const std::string& key : f.unread()) {
    if (is_one_of(key, kHarmless) || is_one_of(key, harmless)) continue;
    const ChangingRow* changing = find_changing(key);
    if (changing == nullptr && !f.is_null(key)) unknown.push_back(key);
    if (changing != nullptr && !is_quiet(f, key, changing->quiet))
      throw refusal(f, key, model_type);
  }
  if (unknown.empty()) return {};
  return {warning(unknown, model_type)};
}

}  // namespace nibble
