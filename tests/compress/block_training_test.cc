// +qat: every architecture comes nearer to the original, and what training cannot do is refused.
#include "nibble/compress/block_training.h"

#include <gtest/gtest.h>

#include <atomic>

#include "nibble/compress/quantize.h"
#include "tests/support/expect_error.h"
#include "tests/support/temp_folder.h"
#include "tests/support/tiny_decoders.h"

namespace nibble {
namespace {

QuantizeOptions options_for(const std::string& method) {
  QuantizeOptions o;
  o.scheme = parse_scheme("int3:g8");
  o.method = method;
  o.calibration = {"", 16, 16, 42};
  o.training = {96, 6, 8, 1e-3, 3e-3};
  return o;
}

// Mean squared difference of logits on tokens that nothing was calibrated on.
double distance(const Model& a, const Model& b) {
  PyRandom random(99);
  double sum = 0;
  int64_t count = 0;
  for (int sequence = 0; sequence < 12; ++sequence) {
    std::vector<int32_t> ids;
    for (int i = 0; i < 16; ++i) ids.push_back(static_cast<int32_t>(random.below(19)));
    const auto x = logits_of_tokens(a, ids), y = logits_of_tokens(b, ids);
    for (size_t i = 0; i < x.size(); ++i)
      sum += (double{x[i]} - double{y[i]}) * (double{x[i]} - double{y[i]}), ++count;
  }
  return sum / static_cast<double>(count);
}

class BlockTrainingOn : public testing::TestWithParam<const char*> {};
INSTANTIATE_TEST_SUITE_P(Models, BlockTrainingOn,
                         testing::Values("micro_gpt", "gpt2", "llama", "mistral", "qwen2", "qwen3",
                                         "opt", "mixtral", "gemma2", "lfm2"),
                         [](const auto& p) { return std::string(p.param); });

TEST_P(BlockTrainingOn, ComesNearer) {
  const Model model = tiny_decoder(tiny_decoder_config(GetParam()), 21);
  Exec exec;
  exec.threads = 2;
  const auto made = [&](const std::string& method) {
    return quantize_in_memory(model, options_for(method), exec);
  };
  EXPECT_LT(distance(made("rtn+qat"), model), distance(made("rtn"), model));
}

TEST(BlockTraining, GivesTheSameBytesForAnyNumberOfThreadsAndFromAFile) {
  const test::TempFolder folder;
  const Model model = tiny_decoder(tiny_decoder_config("llama"), 21);
  Exec one, three;
  three.threads = 3;
  QuantizeOptions options = options_for("yaqa+qat");
  const Model a = quantize_in_memory(model, options, one);
  options.spill_folder = folder.path();
  const Model b = quantize_in_memory(model, options, three);
  const std::vector<int32_t> ids = {1, 2, 3, 4, 5};
  EXPECT_EQ(logits_of_tokens(a, ids), logits_of_tokens(b, ids));
}

// Training asks for the gradients of the whole model, which gptq must not see for that.
TEST(BlockTraining, BeginsWithWhatTheMethodMakesByItself) {
  const Model model = tiny_decoder(tiny_decoder_config("llama"), 21);
  const std::vector<int32_t> ids = {1, 2, 3, 4, 5};
  std::vector<std::vector<float>> seen;
  for (const std::string method : {"rtn", "gptq", "yaqa"}) {
    QuantizeOptions untrained = options_for(method + "+qat");
    untrained.training.epochs = 0;
    QuantizeOptions alone = options_for(method);
    alone.tuning.clip = method == "rtn";  // as training begins
    seen.push_back(logits_of_tokens(quantize_in_memory(model, alone, {}), ids));
    EXPECT_EQ(logits_of_tokens(quantize_in_memory(model, untrained, {}), ids), seen.back())
        << method;
  }
  EXPECT_NE(seen[0], seen[1]);
  EXPECT_NE(seen[1], seen[2]);
}

TEST(BlockTraining, GoesOnWhereItWasStopped) {
  const test::TempFolder folder;
  const Model model = tiny_decoder(tiny_decoder_config("llama"), 21);
  const std::string in = write_tiny_decoder(model, folder.path() + "/in");
  QuantizeOptions options = options_for("gptq+qat");
  quantize_model(in, folder.path() + "/whole", options, {});
  options.resume = true;
  std::atomic<int> signal = 0;
  Exec exec;
  exec.stop_signal = &signal;
  exec.progress = [&](const Progress& p) {  // in the second layer
    if (p.task == "train" && p.done == options.training.epochs + 1) signal = 2;
  };
  test::expect_error(ErrorKind::cancelled, "",
                     [&] { quantize_model(in, folder.path() + "/out", options, exec); });
  const QuantizeResult rest = quantize_model(in, folder.path() + "/out", options, {});
  EXPECT_EQ(rest.resumed_layers, 1);
  const std::vector<int32_t> ids = {1, 2, 3, 4, 5};
  EXPECT_EQ(logits_of_tokens(open_model(folder.path() + "/out"), ids),
            logits_of_tokens(open_model(folder.path() + "/whole"), ids));
}

TEST(BlockTraining, RefusesWhatItCannotTrain) {
  const Model model = tiny_decoder(tiny_decoder_config("llama"), 21);
  QuantizeOptions options = options_for("rtn+qat");
  Exec exec;
  exec.progress = [](const Progress& p) { ADD_FAILURE() << "began to " << p.task; };
  options.scheme = parse_scheme("int8:a8static");
  test::expect_error(ErrorKind::invalid_argument, "int8:a8static cannot be used",
                     [&] { quantize_in_memory(model, options, exec); });
  options.scheme = parse_scheme("int4:g8");
  options.method = "imatrix+qat";
  options.importance_file = "a.gguf";
  test::expect_error(ErrorKind::invalid_argument, "nothing that qat could learn from",
                     [&] { check_options(options); });
}

}  // namespace
}  // namespace nibble
