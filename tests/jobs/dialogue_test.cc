// A dialogue: each answer is what the whole conversation gives, and little of it is read again.
#include "nibble/jobs/dialogue.h"

#include <gtest/gtest.h>

#include "tests/jobs/models.h"
#include "tests/support/expect_error.h"
#include "tests/support/temp_folder.h"

namespace nibble {
namespace {

// Of letters only, as those are all that the tiny model knows.
const std::string kLetters =
    "{{ bos_token if false }}{% for m in messages %}{{ 'f' if m.role == 'user' else 'g' }}"
    "{{ m.content|trim }}{% endfor %}{{ 'g' if add_generation_prompt }}";

GenerateJob talking(const std::string& path) {
  test::put_file(path + "/chat_template.jinja", kLetters);
  GenerateJob job;
  job.model.model = path;
  job.chat = true;
  job.sampling.temperature = 0;
  job.max_new_tokens = 2;
  return job;
}

TEST(DialogueJob, AnswersAsTheWholeConversationIsAnswered) {
  const test::TempFolder folder;
  const std::string path = write_tiny_model(folder / "a");
  const GenerateJob job = talking(path);
  Dialogue dialogue(job, {});
  const Model model = open_model(path);
  const Decoder decoder = load_decoder(model);
  const Tokenizer& tokenizer = model.require_tokenizer();
  GenerateOptions options;
  options.sampling.temperature = 0;
  options.max_new_tokens = 2;
  options.stop = tokenizer.ends();
  std::string before, shown;
  int64_t read = 0;
  for (const std::string user : {"a", "n", "b"}) {
    const std::string prompt = before + "f" + user + "g";
    const GeneratedText answer =
        dialogue.answer(user, {}, [&](std::string_view piece) { shown += piece; });
    EXPECT_EQ(answer.prompt, prompt);
    EXPECT_EQ(answer.prompt_ids, tokenizer.encode(prompt, false));
    PyRandom random(42);
    EXPECT_EQ(answer.ids, generate(decoder, answer.prompt_ids, options, random, {}));
    const int64_t now = dialogue.result().prompt_tokens - read;
    EXPECT_LE(now, 5) << "only what is new";
    read = dialogue.result().prompt_tokens;
    before = prompt + answer.text;
  }
  EXPECT_EQ(dialogue.result().texts.size(), 3u);
  EXPECT_EQ(std::count(shown.begin(), shown.end(), '\n'), 3);
}

TEST(DialogueJob, TellsWhatItCannot) {
  const test::TempFolder folder;
  const std::string path = write_tiny_model(folder / "a");
  GenerateJob job = talking(path);
  Dialogue full(job, {});
  test::expect_error(ErrorKind::invalid_argument, "does not fit the context of 16",
                     [&] { full.answer("aaaaaaaaaaaaaaaaaaaa", {}); });
  test::put_file(path + "/chat_template.jinja", "{{ raise_exception('no') }}");
  Dialogue refused(job, {});
  test::expect_error(ErrorKind::corrupt, "the template refuses: no",
                     [&] { refused.answer("a", {}); });
  job.chat = false;
  test::expect_error(ErrorKind::invalid_argument, "`chat`", [&] { Dialogue(job, {}); });
}

}  // namespace
}  // namespace nibble
