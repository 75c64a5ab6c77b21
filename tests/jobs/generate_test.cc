// generate() beside the decoder's own generate(), what it shows, and what decides how it samples.
#include "nibble/jobs/generate.h"

#include <gtest/gtest.h>

#include "nibble/jobs/tokenize.h"
#include "tests/jobs/models.h"
#include "tests/support/expect_error.h"
#include "tests/support/temp_folder.h"

namespace nibble {
namespace {

using test::expect_error;

GenerateJob writing(const std::string& model, std::vector<std::string> prompts) {
  GenerateJob job;
  job.model.model = model;
  job.prompts = std::move(prompts);
  job.max_new_tokens = 6;
  return job;
}

TEST(GenerateJob, WritesWhatTheDecoderWrites) {
  const test::TempFolder folder;
  const std::string path = write_tiny_model(folder / "a");
  GenerateJob job = writing(path, {"an", "b"});
  job.samples = 2;
  job.batch = 3;
  const GenerateResult r = generate(job, {});
  ASSERT_EQ(r.texts.size(), 4u);
  const Model model = open_model(path);
  const Decoder decoder = load_decoder(model);
  GenerateOptions options;
  options.sampling = job.sampling;
  options.max_new_tokens = 6;
  options.stop = model.require_tokenizer().ends();
  for (size_t i = 0; i < 4; ++i) {
    const GeneratedText& t = r.texts[i];
    PyRandom random(42 + i % 2);
    EXPECT_EQ(t.prompt, i < 2 ? "an" : "b");
    EXPECT_EQ(t.prompt_ids, model.require_tokenizer().encode(t.prompt, true));
    EXPECT_EQ(t.ids, generate(decoder, t.prompt_ids, options, random, {}));
    EXPECT_TRUE(t.text.starts_with(t.prompt));
  }
}

TEST(GenerateJob, ShowsEveryTextInOrder) {
  const test::TempFolder folder;
  GenerateJob job = writing(write_tiny_model(folder / "a"), {"an", "b"});
  for (const int batch : {1, 2}) {
    job.batch = batch;
    std::string shown;
    const GenerateResult r = generate(job, {}, {}, [&](std::string_view text) { shown += text; });
    EXPECT_EQ(shown, r.texts[0].text + "\n" + r.texts[1].text + "\n");
  }
}

TEST(GenerateJob, EndsATextBeforeAStopString) {
  const test::TempFolder folder;
  GenerateJob job = writing(write_tiny_model(folder / "a"), {"an"});
  const std::string whole = generate(job, {}).texts[0].text;
  ASSERT_GE(whole.size(), 4u);
  job.stop = {whole.substr(3, 1)};
  const std::string cut = generate(job, {}).texts[0].text;
  EXPECT_TRUE(whole.starts_with(cut));
  EXPECT_EQ(cut.find(job.stop[0], 2), std::string::npos);
}

TEST(GenerateJob, TakesWhatTheModelSaysAndNobodySet) {
  const test::TempFolder folder;
  const std::string path = write_tiny_model(folder / "a");
  test::put_file(path + "/generation_config.json",
                 R"({"do_sample": true, "temperature": 0.75, "top_k": 3})");
  GenerateJob job = writing(path, {"an"});
  job.sampling.top_k = 5;
  job.given = {"top_k"};
  std::vector<std::string> told;
  const GenerateResult r = generate(job, {}, [&](const Notice& n) { told = n.lines; });
  EXPECT_EQ(r.sampling.temperature, 0.75);
  EXPECT_EQ(r.sampling.top_k, 5);
  EXPECT_EQ(r.from_generation_config, std::vector<std::string>{"temperature"});
  EXPECT_EQ(told, std::vector<std::string>{"`temperature` 0.75"});
  job.sampling.temperature = 0;
  job.given.insert("temperature");
  ASSERT_EQ(generate(job, {}).warnings.size(), 1u);
  EXPECT_TRUE(generate(job, {}).warnings[0].starts_with("`top_k`: without effect"));
}

TEST(GenerateJob, RefusesWhatCannotBe) {
  const test::TempFolder folder;
  const std::string path = write_tiny_model(folder / "a");
  const auto refuse = [](const GenerateJob& job, ErrorKind kind, std::string_view words) {
    expect_error(kind, words, [&] { generate(job, {}); });
  };
  GenerateJob job = writing(path, {std::string(40, 'a')});
  refuse(job, ErrorKind::invalid_argument, "context");
  job = writing(path, {"an"});
  job.system = "be brief";
  refuse(job, ErrorKind::invalid_argument, "belong to `chat`");
  job.chat = true;
  refuse(job, ErrorKind::unsupported, "template");
  refuse(writing(test::write_reader(folder / "r"), {""}), ErrorKind::invalid_argument,
         "the prompt is empty");
  refuse(writing(test::write_classifier(folder / "mlp"), {"a"}), ErrorKind::unsupported, "MLP");
}

TEST(TokenizeJob, HasIdsAndTheirText) {
  const test::TempFolder folder;
  const std::string path = write_tiny_model(folder / "a");
  const TokenizeResult r = tokenize(path, "anna", false);
  EXPECT_EQ(r.tokens, (std::vector<std::string>{"a", "n", "n", "a"}));
  EXPECT_EQ(r.ids, open_model(path).require_tokenizer().encode("anna", false));
  EXPECT_GT(tokenize(path, "anna").ids.size(), 4u) << "with the token that names begin with";
}

}  // namespace
}  // namespace nibble
