#include "nibble/jobs/dialogue.h"

#include "nibble/core/error.h"
#include "nibble/eval/cached_text.h"
#include "nibble/jobs/generation_setup.h"
#include "nibble/jobs/growing_text.h"
#include "nibble/jobs/prompt.h"
#include "nibble/jobs/token_options.h"

namespace nibble {

struct Dialogue::State {
  State(const GenerateJob& given, const Exec& exec, const NoticeHook& tell)
      : job(given), setup(open_generation(job, exec, tell, result)), random(job.seed) {
    if (!setup.chat) throw invalid_argument("a dialogue needs `chat`");
    result.samples = 1;
    choose_options(setup, tell, result);
    conversation = begun_conversation(job);
    decoder.emplace(take_decoder(setup, exec));
    text.emplace(*decoder, job.kv);
  }

  void count(const std::vector<int32_t>& ids) {
    result.prompt_tokens += text->read();
    result.first_tokens += ids.empty() ? 0 : 1;
    result.new_tokens += std::ssize(ids);
    result.prefill_seconds += text->prefill_seconds();
    result.decode_seconds += text->decode_seconds();
  }

  GenerateJob job;
  GenerateResult result;
  GenerationSetup setup;
  PyRandom random;
  Conversation conversation;
  std::optional<Decoder> decoder;
  std::optional<CachedText> text;
};

Dialogue::Dialogue(const GenerateJob& job, const Exec& exec, const NoticeHook& tell)
    : state_(std::make_unique<State>(job, exec, tell)) {}
Dialogue::~Dialogue() = default;

const GenerateResult& Dialogue::result() const { return state_->result; }

const GeneratedText& Dialogue::answer(std::string_view user, const Exec& exec,
                                      const ShowHook& show) {
  State& s = *state_;
  const Tokenizer& tokenizer = s.setup.folder.require_tokenizer();
  s.conversation.add("user", user);
  const Prompt prompt = encode_conversation(s.conversation, *s.setup.chat, tokenizer);
  GrowingText growing(prompt, tokenizer, s.setup.stop, show, true);
  s.setup.options.max_new_tokens = most_tokens(s.job, *s.decoder, prompt);
  std::vector<int32_t> ids = s.text->go_on(prompt.ids, s.setup.options, s.random, exec,
                                           [&](int32_t id) { return growing.take(id); });
  s.count(ids);
  std::string text = growing.finish();
  s.conversation.add("assistant", text);
  s.result.texts.push_back({prompt.text, prompt.ids, std::move(ids), std::move(text),
                            spelled(s.text->logprobs(), tokenizer)});
  return s.result.texts.back();
}

}  // namespace nibble
