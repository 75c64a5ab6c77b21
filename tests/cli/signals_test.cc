// Signals: a stop is heard soon, whatever is being done; one that the parent ignores is not.
#include <gtest/gtest.h>

#include <csignal>

#include "nibble/core/files.h"
#include "tests/cli/cli_test.h"
#include "tests/support/tiny_model.h"

namespace nibble::test {
namespace {

class Ignored : public ::testing::TestWithParam<int> {};
INSTANTIATE_TEST_SUITE_P(Command, Ignored, ::testing::Values(SIGHUP, SIGINT, SIGTERM));

// nohup, and background jobs of a script.
TEST_P(Ignored, SignalsStayIgnored) {
  const int signal = GetParam();
  const CommandResult r =
      run_nibble({"train", "micro", "--steps", "250000", "--batch", "1", "--threads", "1",
                  "--quiet", "--data", "data/names.txt"},
                 {.limit_s = 120, .signal = signal, .signal_after_s = 0.3, .in_child = [signal] {
                    std::signal(signal, SIG_IGN);
                  }});
  expect_success(r);
  EXPECT_GT(r.seconds, 0.3) << "it was over before the signal came";
}

// A model whose passes take long enough on the reference kernels: 256 tokens at a time, twelve
// blocks.
std::string write_slow_model(const std::string& folder) {
  std::filesystem::create_directories(folder);
  const CharTokenizer tokenizer = CharTokenizer::from_text("abcdefghijklmnopqrstuvwxyz \n", false);
  DecoderConfig config = tiny_config(tokenizer);
  config.layers = 12;
  config.hidden_size = 128;
  config.intermediate_size = 512;
  config.heads = config.kv_heads = 4;
  config.head_dim = 32;
  config.context = 256;
  write_model(folder, config, random_weights(config, 3, 0.02), &tokenizer);
  return folder;
}

class StopHeard : public ::testing::Test {
 protected:
  void SetUp() override {
    write_slow_model(folder_ / "model");
    std::string text;
    for (int i = 0; i < 200'000; ++i) text += static_cast<char>('a' + i * 7 % 26);
    put_file(folder_ / "text", text);
  }

  void expect_soon(std::vector<std::string> words, double after_s) {
    words.insert(words.end(), {"--threads", "1", "--quiet"});
    const CommandResult r = run_nibble(words, {.set = {{"NIBBLE_ISA", "ref"}},
                                               .limit_s = 60,
                                               .signal = SIGTERM,
                                               .signal_after_s = after_s});
    EXPECT_EQ(r.exit_code, 143) << words[0] << ": " << r.err;
    EXPECT_LT(r.seconds, after_s + (kSanitized ? 20 : 2.5)) << words[0];
    EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder_.path()), {}), 2);
  }

  TempFolder folder_;
};

TEST_F(StopHeard, InTheMiddleOfAPass) {
  const std::string model = folder_ / "model", text = folder_ / "text";
  expect_soon({"eval", model, "--text", text}, 1);
  expect_soon({"compare", model, "--schemes", "int8", "--text", text}, 1);
  expect_soon({"eval", model, "--text", text, "--against", model}, 1);
}

TEST_F(StopHeard, InTheMiddleOfCalibration) {
  const std::string model = folder_ / "model", text = folder_ / "text", out = folder_ / "out";
  expect_soon(
      {"quantize", model, "-o", out, "--scheme", "int4:g32", "--method", "gptq", "--calib", text},
      1);
  expect_soon({"quantize", model, "-o", out, "--scheme", "int4:g32", "--method", "yaqa"}, 1.5);
  expect_soon({"auto", model, "-o", out, "--bits", "4.5"}, 2);
  expect_soon({"inspect", model, "--activations", text}, 1);
}

// A folder with 784-wide images and their labels, as MNIST's.
void write_images(const std::string& folder) {
  const auto be32 = [](uint32_t v) {
    return std::string{static_cast<char>(v >> 24), static_cast<char>(v >> 16),
                       static_cast<char>(v >> 8), static_cast<char>(v)};
  };
  constexpr uint32_t kImages = 400;
  std::string pixels, labels;
  for (uint32_t i = 0; i < kImages * 784; ++i) pixels += static_cast<char>(i * 2654435761u >> 24);
  for (uint32_t i = 0; i < kImages; ++i) labels += static_cast<char>(i % 10);
  std::filesystem::create_directories(folder);
  put_file(folder + "/train-images-idx3-ubyte",
           be32(0x803) + be32(kImages) + be32(28) + be32(28) + pixels);
  put_file(folder + "/train-labels-idx1-ubyte", be32(0x801) + be32(kImages) + labels);
}

// oneDNN's sgemm uses the stack pointer for something else: a handler that ran on that stack wrote
// into the heap. About one run in ten died of it.
TEST(SignalsInOneDnn, DoNoHarm) {
  const TempFolder folder;
  write_images(folder / "images");
  for (int i = 0; i < 25; ++i) {
    const CommandResult r =
        run_nibble({"train", "mlp", "--data", folder / "images", "--steps", "100000", "-o",
                    folder / "out", "--threads", "1", "--quiet"},
                   {.limit_s = 20, .signal = SIGINT, .signal_after_s = 0.4 + 0.013 * i});
    ASSERT_EQ(r.signal, 0) << "run " << i;
    ASSERT_EQ(r.exit_code, 130) << "run " << i << ": " << r.err;
    ASSERT_EQ(folder.size(), 1u) << "run " << i;
  }
}

}  // namespace
}  // namespace nibble::test
