// The model is loaded whole to write a calibration text, and to see whether one from a file suits
// it: what --max-memory and the estimate make of that.
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>

#include "nibble/compress/calibration_text.h"
#include "nibble/compress/estimate.h"
#include "nibble/compress/quantize.h"
#include "nibble/core/error.h"
#include "tests/support/expect_error.h"
#include "tests/support/temp_folder.h"
#include "tests/support/tiny_model.h"

namespace nibble {
namespace {

class TextMemory : public testing::Test {
 protected:
  TextMemory() {
    std::filesystem::create_directories(folder_ / "in");
    const CharTokenizer tokenizer = CharTokenizer::from_text(kTinyText, true);
    config_ = tiny_config(tokenizer);
    // 100 MB in many small blocks, of which a walk holds one.
    config_.hidden_size = 256;
    config_.intermediate_size = 1024;
    config_.heads = 4;
    config_.head_dim = 64;
    config_.layers = 32;
    write_model(folder_ / "in", config_, random_weights(config_, 3), &tokenizer);
    std::ofstream text(folder_ / "text");
    for (int i = 0; i < 400; ++i) text << "anna\n";
    options_.scheme = parse_scheme("int4:g32");
    options_.method = "imatrix";
    options_.inputs = CalibrationInputs::quantized;
    options_.calibration = {"", 40, 16, 42};
    options_.force = true;
  }

  int64_t spilled() const {
    const Model model = open_model(folder_ / "in");
    std::vector<std::string> warnings;
    return estimate_quantization(model, plan_quantization(model, options_, warnings), options_, 1)
        .spilled_bytes;
  }
  bool warned(std::string_view words) const {
    const QuantizeResult r = quantize_model(folder_ / "in", folder_ / "out", options_, Exec{});
    return std::any_of(r.warnings.begin(), r.warnings.end(),
                       [&](const std::string& w) { return w.find(words) != std::string::npos; });
  }

  const test::TempFolder folder_;
  DecoderConfig config_;
  QuantizeOptions options_;
};

TEST_F(TextMemory, OfTextThatIsWrittenIsInTheEstimate) {
  const int64_t written = spilled();
  EXPECT_GT(written, parameter_count(config_) * 4);
  options_.calibration.text = folder_ / "text";
  EXPECT_LT(spilled(), written);
  options_.max_memory = spilled();
  options_.calibration.text.clear();
  test::expect_error(ErrorKind::out_of_memory, "`calibration_text`", [&] { warned(""); });
}

TEST_F(TextMemory, ATextIsCheckedWhereTheLimitAllowsIt) {
  options_.calibration.text = folder_ / "text";
  const int64_t needed = text_memory(open_model(folder_ / "in"), options_.calibration, 1);
  ASSERT_GT(needed, spilled());
  options_.max_memory = needed;
  EXPECT_TRUE(warned("the model's loss there"));
  options_.max_memory = needed - 1;
  EXPECT_TRUE(warned("not checked"));
  EXPECT_FALSE(warned("the model's loss there"));
}

// Writes down what is asked of another source.
class Listening : public WeightSource {
 public:
  Listening(const WeightSource& source, std::vector<std::string>& heard)
      : source_(source), heard_(heard) {}
  StoredAs stored_as(std::string_view name) const override { return source_.stored_as(name); }
  int64_t file_bytes() const override { return source_.file_bytes(); }
  Weight get(std::string_view name) const override {
    heard_.push_back("get " + std::string(name));
    return source_.get(name);
  }
  void release(std::string_view name) const override {
    heard_.push_back("release " + std::string(name));
  }

 private:
  const WeightSource& source_;
  std::vector<std::string>& heard_;
};

TEST_F(TextMemory, AWalkLetsGoOfABlockBeforeItReadsTheNext) {
  const Model model = open_model(folder_ / "in");
  const ParamSpec* first = nullptr;
  const ParamSpec* later = nullptr;
  const auto table = parameter_table(config_);
  for (const ParamSpec& p : table) {
    if (p.is_matrix() && p.layer == 0) first = &p;
    if (p.is_matrix() && p.layer == 5 && later == nullptr) later = &p;
  }
  std::vector<std::string> heard;
  options_.calibration.text = folder_ / "text";
  const CalibrationText text = calibration_text(model, options_.calibration, Exec{});
  options_.calibration.text.clear();
  const Model listened{model.path, model.config, std::make_shared<Listening>(*model.weights, heard),
                       model.companions};
  quantize_in_memory(listened, options_, Exec{}, {&text});
  const auto let_go = std::ranges::find(heard, "release " + first->name);
  const auto read = std::ranges::find(heard, "get " + later->name);
  ASSERT_NE(let_go, heard.end());
  EXPECT_LT(let_go, read);
}

}  // namespace
}  // namespace nibble
