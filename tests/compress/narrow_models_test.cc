// Models with extents of one: what calibration sums has one row or one column.
#include <gtest/gtest.h>

#include "nibble/compress/quantize.h"
#include "tests/support/tiny_decoders.h"

namespace nibble {
namespace {

// Every method on a model of this config.
void quantize_by_all(const DecoderConfig& config, int64_t samples, int64_t length) {
  const Model model = tiny_decoder(config, 3);
  for (const Method& m : methods()) {
    QuantizeOptions o;
    o.scheme = parse_scheme("int4");
    o.method = m.name;
    o.tuning.steps = 2;
    o.calibration.samples = samples;
    o.calibration.length = length;
    EXPECT_NO_THROW(quantize_in_memory(model, o, Exec{})) << m.name;
  }
  for (const char* chain : {"awq+gptq", "smoothquant+rtn", "rotate+gptq"}) {
    QuantizeOptions o;
    o.scheme = parse_scheme("int8");
    o.method = chain;
    o.calibration.samples = samples;
    o.calibration.length = length;
    EXPECT_NO_THROW(quantize_in_memory(model, o, Exec{})) << chain;
  }
}

TEST(NarrowModels, AnMlpOneWide) {
  DecoderConfig config = tiny_decoder_config("llama");
  config.intermediate_size = 1;
  quantize_by_all(config, 8, 16);
}

TEST(NarrowModels, OneHeadOfTwo) {
  DecoderConfig config = tiny_decoder_config("llama");
  config.heads = config.kv_heads = 1;
  config.head_dim = 2;
  config.hidden_size = 2;
  config.intermediate_size = 3;
  quantize_by_all(config, 8, 16);
}

TEST(NarrowModels, ATextOfSamplesOfTwoTokens) {
  quantize_by_all(tiny_decoder_config("llama"), 64, 2);
}

}  // namespace
}  // namespace nibble
