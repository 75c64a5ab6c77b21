// What training with the quantizer in the loop reaches on microGPT (MICROGPT section 4), where the
// names are at hand.
#include <gtest/gtest.h>

#include "nibble/compress/quantize.h"
#include "nibble/core/files.h"
#include "nibble/eval/perplexity.h"
#include "nibble/jobs/train.h"
#include "nibble/text/line_data.h"
#include "tests/support/shared.h"
#include "tests/support/temp_folder.h"

namespace nibble {
namespace {

constexpr double kBigramLoss = 2.454;  // of counting pairs of characters

double rounded_loss(const std::string& model, const std::string& out, const char* scheme,
                    const std::string& names) {
  QuantizeOptions options;
  options.scheme = parse_scheme(scheme);
  quantize_model(model, out, options, {});
  const Model made = open_model(out);
  const auto data = sequences(names, made.require_tokenizer(), made.decoder_config().context, 42);
  return measure_loss(logits_of(load_decoder(made)), all_scored(data.heldout), {}, "").loss;
}

TEST(QatQuality, OfMicroGpt) {
  const std::string path = "../shared/data/text/names.txt";
  if (test::lacks_shared(path)) GTEST_SKIP() << path;
  const test::TempFolder folder;
  TrainJob job;
  job.preset = "micro";
  job.text = {path, read_file(path)};
  job.steps = 10'000;
  job.batch = 16;
  job.seed = 1;
  job.samples = 0;
  job.out = folder / "f32";
  Exec exec;
  exec.threads = 2;
  const double plain = train(job, exec).heldout_loss;
  const auto trained = [&](const char* scheme) {
    TrainJob quantized = job;
    quantized.out = folder / scheme;
    quantized.qat.scheme = scheme;
    return train(quantized, exec).heldout_loss;
  };
  const auto rounded = [&](const char* scheme) {
    return rounded_loss(job.out, folder / (std::string(scheme) + "-rtn"), scheme, job.text.text);
  };
  const double four = trained("int4:g16");
  EXPECT_LT(four, plain + 0.03);
  EXPECT_LT(four, rounded("int4:g16"));
  EXPECT_LT(trained("int3:g16"), rounded("int3:g16") - 0.1);
  EXPECT_LT(trained("ternary:g16"), kBigramLoss);
  EXPECT_GT(rounded("int2:g16"), kBigramLoss + 0.5) << "rounding alone is far worse than that";
}

}  // namespace
}  // namespace nibble
