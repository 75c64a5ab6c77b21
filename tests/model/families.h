// Families of models of which ../shared/data/archs has a small random one, with what transformers
// makes of it.
#pragma once

namespace nibble {

inline constexpr const char* kFamilies[] = {
    "deepseek_v2", "deepseek_v3", "glm4_moe_lite", "cohere",
    "cohere2",     "ernie4_5",    "ernie4_5_moe",  "exaone4",
    "gemma2",      "gemma3_text", "gemma4_moe",    "glm4",
    "glm4_moe",    "gpt_neox",    "granite",       "hunyuan_v1_dense",
    "gpt_oss",     "lfm2",        "lfm2_moe",      "ministral3",
    "mixtral",     "olmo2",       "olmo3",         "olmoe",
    "phi3",        "qwen2_moe",   "qwen3_5",       "qwen3_5_moe",
    "qwen3_moe",   "qwen3_next",  "falcon_h1",     "granitemoehybrid",
    "nemotron_h",  "smollm3",     "stablelm",      "starcoder2"};

}  // namespace nibble
