// MICROGPT section 4: what quantizing costs a micro model trained for 10,000 steps of 16 names, on
// three seeds. The bounds are the published ones; every matrix is quantized, embeddings included.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>

#include "nibble/compress/quantize.h"
#include "nibble/core/files.h"
#include "nibble/eval/perplexity.h"
#include "nibble/train/presets.h"
#include "nibble/train/trainer.h"
#include "tests/support/shared.h"

namespace nibble {
namespace {

constexpr const char* kNames = "../shared/data/text/names.txt";

struct Bound {
  const char* scheme;
  double change;  // of the held-out loss, nats a token
};
constexpr Bound kBounds[] = {
    {"int8:tensor", 0.001}, {"int4:g16", 0.050}, {"int4:g16:asym", 0.035}, {"int3:g16", 0.28}};

Model train(const CharTokenizer& tokenizer, const SequenceData& data, uint64_t seed,
            const Exec& exec) {
  TrainOptions options = preset("micro");
  options.config.vocab_size = tokenizer.vocab_size();
  options.steps = 10'000;
  options.batch = 16;
  options.seed = seed;
  Trainer trainer(options, data.train);
  trainer.run(exec);
  return in_memory(options.config, trainer.result().weights, tokenizer);
}

double change(const Model& model, const Model& base, const SequenceData& data, const Exec& exec) {
  const Decoder a = load_decoder(model), b = load_decoder(base);
  return compare_models(logits_of(a), logits_of(b), all_scored(data.heldout), exec, "test")
      .loss_difference;
}

// "Better than rtn" means the better of rtn's two divisors (DESIGN section 8).
double better_change(const Model& base, const char* scheme, const SequenceData& data,
                     const Exec& exec) {
  QuantizeOptions options;
  options.scheme = parse_scheme(scheme);
  const double whole = change(quantize_in_memory(base, options, exec), base, data, exec);
  options.half_step_divisor = true;
  return std::min(whole, change(quantize_in_memory(base, options, exec), base, data, exec));
}

TEST(MicroQuality, PostTrainingStaysWithinThePublishedBounds) {
  if (test::lacks_shared(kNames)) GTEST_SKIP() << kNames;
  const std::string text = read_file(kNames);
  const CharTokenizer tokenizer = CharTokenizer::from_text(text, true);
  const SequenceData data = line_sequences(text, tokenizer, 16, 42);
  Exec exec;
  exec.threads = 2;
  for (const uint64_t seed : {1, 2, 3}) {
    const Model base = train(tokenizer, data, seed, exec);
    const Decoder decoder = load_decoder(base);
    const double loss =
        measure_loss(logits_of(decoder), all_scored(data.heldout), exec, "test").loss;
    EXPECT_NEAR(loss, 2.127, 0.012) << "seed " << seed;
    for (const Bound& b : kBounds) {
      const double got = better_change(base, b.scheme, data, exec);
      std::printf("seed %d f32 %.4f %-14s %+.4f (bound %+.3f)\n", static_cast<int>(seed), loss,
                  b.scheme, got, b.change);
      EXPECT_LE(got, b.change) << "seed " << seed << " " << b.scheme;
    }
  }
}

}  // namespace
}  // namespace nibble
