#include "nibble/text/gguf_ends.h"

#include <algorithm>
#include <string_view>

namespace nibble {
namespace {

constexpr std::string_view kGgufEnds[] = {
    "<|eot_id|>",
    "<|im_end|>",
    "<|end|>",
    "<|return|>",  // gpt-oss
    "<|call|>",
    "<|flush|>",  // Solar Open
    "<|calls|>",
    "<end_of_turn>",
    "<|endoftext|>",
    "</s>",
    "<|eom_id|>",
    "<EOT>",
    "_<EOT>",
    "[EOT]",
    "[EOS]",
    "<|end_of_text|>",
    "<end_of_utterance>",
    "<eos>",
    "<turn|>",  // Gemma 4
    "<|tool_response>",
    "<\uFF5Cend\u2581of\u2581sentence\uFF5C>",  // DeepSeek
    "[e~[",                                     // MiniMax
    // Padding, and the borders of files and repositories, of models that fill gaps in code.
    "<|fim_pad|>",
    "<fim-pad>",
    "<fim_pad>",
    "<PAD>",
    "[PAD]",
    "<|fim_repo|>",
    "<|repo_name|>",
    "<fim-repo>",
    "<REPO>",
    "<reponame>",
    "<|file_sep|>",
};

}  // namespace

std::vector<int32_t> gguf_ends_by_text(const TokenTable& tokens) {
  const auto has = [&](std::string_view text) { return tokens.find(text) >= 0; };
  std::vector<int32_t> out;
  for (const std::string_view text : kGgufEnds) {
    if (has(text)) out.push_back(tokens.find(text));
  }
  // Where an answer consists of several messages, the end of one is not that of the answer.
  const bool messages =
      (has("<|call|>") || has("<|calls|>")) && (has("<|return|>") || has("<|flush|>"));
  if (messages) std::erase(out, tokens.find("<|end|>"));
  // Gemma 4 has "</s>" among its tags of HTML.
  if (has("<|tool_response>")) std::erase(out, tokens.find("</s>"));
  return out;
}

}  // namespace nibble
