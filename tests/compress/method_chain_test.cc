// Chains of methods: how they are spelled, that they work end to end, and that folders they make
// come back as they were measured.
#include "nibble/compress/method_chain.h"

#include <gtest/gtest.h>

#include <cmath>

#include "nibble/core/files.h"
#include "nibble/eval/perplexity.h"
#include "tests/support/expect_error.h"
#include "tests/support/shared.h"
#include "tests/support/temp_folder.h"
#include "tests/support/tiny_decoders.h"

namespace nibble {
namespace {

TEST(MethodChain, Spelling) {
  const MethodChain both = parse_method_chain("awq+gptq");
  EXPECT_EQ(both.steps, std::vector<std::string>{"awq"});
  EXPECT_EQ(both.quantizer, "gptq");
  EXPECT_EQ(parse_method_chain("smoothquant").quantizer, "rtn");
  EXPECT_EQ(parse_method_chain("rotate").quantizer, "rtn");
  EXPECT_TRUE(parse_method_chain("llm_int8").spare_outliers);
  EXPECT_EQ(parse_method_chain("rotate+awq+gptq").steps.size(), 2U);
  const MethodChain trained = parse_method_chain("awq+yaqa+qat");
  EXPECT_EQ(trained.steps, std::vector<std::string>{"awq"});
  EXPECT_EQ(trained.quantizer, "yaqa");
  EXPECT_TRUE(trained.trains);
  EXPECT_EQ(parse_method_chain("qat").quantizer, "rtn");
  for (const char* wrong : {"qat+yaqa", "llm_int8+qat", "yaqa+qat+qat", "yaqa+qat+awq"})
    test::expect_error(ErrorKind::invalid_argument, "must be the last",
                       [wrong] { parse_method_chain(wrong); });
  test::expect_error(ErrorKind::invalid_argument, "must be the last",
                     [] { parse_method_chain("gptq+awq"); });
  test::expect_error(ErrorKind::invalid_argument, "must be the last",
                     [] { parse_method_chain("llm_int8+awq"); });
  test::expect_error(ErrorKind::invalid_argument, "use one of rtn",
                     [] { parse_method_chain("awq+magic"); });
  test::expect_error(ErrorKind::invalid_argument, "unknown method",
                     [] { parse_method_chain("awq+"); });
}

TEST(MethodChain, LlmInt8AsksForItsInputs) {
  QuantizeOptions options;
  options.scheme = parse_scheme("int8");
  options.method = "llm_int8";
  EXPECT_EQ(to_string(without_steps(options).scheme), "int8:a8outlier");
  options.scheme = parse_scheme("nf4");
  test::expect_error(ErrorKind::invalid_argument, "rounds to integers",
                     [&] { without_steps(options); });
}

// Perplexity of a trained model, or nothing where there is none.
class OnModel : public testing::Test {
 protected:
  static constexpr const char* kFolder = "../shared/data/models/";
  static constexpr const char* kText = "../shared/data/text/shakespeare-val.txt";
  void open(const std::string& name) {
    if (test::lacks_shared(kFolder + name)) GTEST_SKIP() << name;
    model_ = std::make_unique<Model>(open_model(kFolder + name));
    std::vector<std::vector<int32_t>> windows;
    const auto ids = read_ids();
    for (size_t at = 0; at + 256 <= ids.size() && windows.size() < 12; at += 256)
      windows.emplace_back(ids.begin() + static_cast<int64_t>(at),
                           ids.begin() + static_cast<int64_t>(at) + 256);
    sequences_ = all_scored(windows);
    exec_.threads = 2;
  }
  std::vector<int32_t> read_ids() const;
  double loss_added(const std::string& scheme, const std::string& method) {
    QuantizeOptions options;
    options.scheme = parse_scheme(scheme);
    options.method = method;
    options.calibration = {"", 8, 128, 42};
    const Model quantized = quantize_in_memory(*model_, options, exec_);
    const Decoder a = load_decoder(quantized), b = load_decoder(*model_);
    return compare_models(logits_of(a), logits_of(b), sequences_, exec_, "test").loss_difference;
  }
  std::unique_ptr<Model> model_;
  std::vector<ScoredSequence> sequences_;
  Exec exec_;
};

std::vector<int32_t> OnModel::read_ids() const {
  TextOptions whole;
  whole.window = 256;
  std::vector<int32_t> out;
  const std::string text = read_file(kText, int64_t{1} << 24);
  for (const ScoredSequence& s :
       scored_text(text, model_->require_tokenizer(), model_->decoder_config().context, whole))
    out.insert(out.end(), s.ids.begin(), s.ids.end());
  return out;
}

TEST_F(OnModel, OutliersNeedARemedy) {
  open("gpt2-shakespeare-outliers");
  if (model_ == nullptr) return;
  const double fixed = loss_added("int8:a8static", "rtn"), dynamic = loss_added("int8:a8", "rtn");
  EXPECT_GT(fixed, 0.2);
  EXPECT_GT(dynamic, 0.01);
  EXPECT_LT(dynamic, fixed);
  EXPECT_LT(loss_added("int8:a8", "smoothquant"), 0.001);
  EXPECT_LT(loss_added("int8", "llm_int8"), 0.001);
}

TEST_F(OnModel, AFolderIsWhatWasMeasured) {
  open("llama-shakespeare-outliers");
  if (model_ == nullptr) return;
  const test::TempFolder folder;
  for (const auto& [scheme, method] :
       {std::pair("int8:a8static", "rtn"), {"int8", "llm_int8"}, {"int4:g32", "rotate"}}) {
    QuantizeOptions options;
    options.scheme = parse_scheme(scheme);
    options.method = method;
    options.calibration = {"", 4, 64, 42};
    options.force = true;
    const std::string out = folder.path() + "/out";
    const QuantizeResult result = quantize_model(model_->path, out, options, exec_);
    EXPECT_EQ(result.sites.empty(), std::string(method) == "rtn" ||
                                        std::string(method) == "rotate" ||
                                        std::string(method) == "llm_int8");
    const std::vector<int32_t> ids = {5, 9, 2, 700, 33, 1};
    EXPECT_EQ(logits_of_tokens(open_model(out), ids),
              logits_of_tokens(quantize_in_memory(*model_, options, exec_), ids))
        << scheme << " " << method;
  }
}

TEST_F(OnModel, AnUntiedHeadIsSaidInTheConfig) {
  open("stories260k");
  if (model_ == nullptr) return;
  const test::TempFolder folder;
  QuantizeOptions options;
  options.scheme = parse_scheme("int8");
  options.method = "rotate";
  quantize_model(model_->path, folder.path() + "/out", options, exec_);
  const Model back = open_model(folder.path() + "/out");
  EXPECT_FALSE(back.decoder_config().tied);
  const std::vector<int32_t> ids = {1, 9, 2, 70};
  const auto before = logits_of_tokens(*model_, ids), after = logits_of_tokens(back, ids);
  for (size_t i = 0; i < before.size(); ++i) ASSERT_NEAR(before[i], after[i], 0.5);
}

}  // namespace
}  // namespace nibble
