#include "nibble/jobs/generate.h"

#include <algorithm>

#include "nibble/jobs/generation_setup.h"
#include "nibble/jobs/growing_text.h"
#include "nibble/jobs/prompt.h"
#include "nibble/jobs/token_options.h"

namespace nibble {
namespace {

std::vector<Prompt> encode_prompts(const GenerationSetup& g) {
  const Tokenizer& tokenizer = g.folder.require_tokenizer();
  const auto bos = g.defaults.bos ? g.defaults.bos : tokenizer.bos();
  std::vector<Prompt> out;
  for (const std::string& text : g.job.prompts)
    out.push_back(encode_prompt(text, g.job, g.chat ? &*g.chat : nullptr, tokenizer, bos));
  return out;
}

// Texts begin to end of all, prompt by prompt, run together.
void run_batch(const GenerationSetup& g, const std::vector<Prompt>& prompts, const Decoder& model,
               size_t begin, size_t end, const Exec& exec, const ShowHook& show,
               GenerateResult& r) {
  const auto samples = static_cast<size_t>(g.job.samples);
  const Tokenizer& tokenizer = g.folder.require_tokenizer();
  std::vector<GrowingText> texts;
  texts.reserve(end - begin);
  std::vector<GenerateRequest> requests;
  for (size_t i = begin; i < end; ++i) {
    const Prompt& prompt = prompts[i / samples];
    texts.emplace_back(prompt, tokenizer, g.stop, show, end - begin == 1);
    requests.push_back({prompt.ids, g.job.seed + i % samples,
                        [text = &texts.back()](int32_t id) { return text->take(id); },
                        most_tokens(g.job, model, prompt)});
  }
  BatchResult batch = generate_batch(model, requests, g.options, exec);
  for (size_t i = begin; i < end; ++i) {
    const Prompt& prompt = prompts[i / samples];
    std::vector<int32_t>& ids = batch.ids[i - begin];
    r.first_tokens += ids.empty() ? 0 : 1;
    r.texts.push_back({prompt.text, prompt.ids, std::move(ids), texts[i - begin].finish(),
                       spelled(batch.logprobs[i - begin], tokenizer)});
  }
  r.prompt_tokens += batch.prompt_tokens;
  r.new_tokens += batch.new_tokens;
  r.prefill_seconds += batch.prefill_seconds;
  r.decode_seconds += batch.decode_seconds;
}

// All texts, in batches.
void write_texts(const GenerationSetup& g, const std::vector<Prompt>& prompts, const Decoder& model,
                 const Exec& exec, const ShowHook& show, GenerateResult& out) {
  const size_t all = prompts.size() * static_cast<size_t>(g.job.samples);
  const auto batch = static_cast<size_t>(g.job.batch);
  for (size_t begin = 0; begin < all; begin += batch)
    run_batch(g, prompts, model, begin, std::min(begin + batch, all), exec, show, out);
}

}  // namespace

GenerateResult generate(const GenerateJob& job, const Exec& exec, const NoticeHook& tell,
                        const ShowHook& show) {
  GenerateResult out;
  GenerationSetup g = open_generation(job, exec, tell, out);
  const std::vector<Prompt> prompts = encode_prompts(g);
  choose_options(g, tell, out);
  const Decoder model = take_decoder(g, exec);
  write_texts(g, prompts, model, exec, show, out);
  return out;
}

GenerateResult generate(const GenerateJob& job, const Model& folder,
                        const std::function<const Decoder&()>& decoder, const Exec& exec,
                        const NoticeHook& tell, const ShowHook& show) {
  GenerateResult out;
  GenerationSetup g = begin_generation(job, folder, out);
  const std::vector<Prompt> prompts = encode_prompts(g);
  choose_options(g, tell, out);
  write_texts(g, prompts, decoder(), exec, show, out);
  return out;
}

}  // namespace nibble
