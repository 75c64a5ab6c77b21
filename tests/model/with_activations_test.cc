// Stored codes run with their inputs rounded to 8 bits.
#include "nibble/model/with_activations.h"

#include <gtest/gtest.h>

#include "nibble/quant/rtn.h"
#include "tests/support/expect_error.h"
#include "tests/support/tiny_decoders.h"

namespace nibble {
namespace {

using test::expect_error;

// A tiny Llama whose matrices in layers are in `scheme`, and those outside as they were.
Model stored_in(const std::string& scheme) {
  const Model plain = tiny_decoder(blocky_decoder_config(2), 4);
  WeightMap weights;
  for (const ParamSpec& p : parameter_table(plain.config)) {
    Weight w = plain.weights->get(p.name);
    if (p.is_matrix() && p.layer >= 0)
      w = quantize_rtn(w.plain(), parse_scheme(scheme), {}, p.name);
    weights.emplace(p.name, std::move(w));
  }
  return {plain.path, plain.config, weights_in_memory(std::move(weights)), plain.companions};
}

const std::vector<int32_t> kRoundedIds = {1, 5, 3, 9, 11, 2};

TEST(WithActivations, IsTheSchemeThatSaysSo) {
  const Model rounded = with_activations(stored_in("int4:g32"), parse_activations("a8"));
  EXPECT_EQ(scheme_summary(rounded), "int4:g32:a8");
  EXPECT_TRUE(rounded.warnings.empty());
  const std::vector<float> logits = logits_of_tokens(rounded, kRoundedIds);
  EXPECT_EQ(logits, logits_of_tokens(stored_in("int4:g32:a8"), kRoundedIds));
  EXPECT_NE(logits, logits_of_tokens(stored_in("int4:g32"), kRoundedIds));
}

TEST(WithActivations, LeavesWhatCannotBeMultipliedSo) {
  const Model base = stored_in("nf4:g64");
  expect_error(ErrorKind::invalid_argument, "does nothing here",
               [&] { with_activations(base, ActivationType::a8); });
  expect_error(ErrorKind::invalid_argument, "does nothing here", [&] {
    with_activations(tiny_decoder(blocky_decoder_config(1), 4), ActivationType::a8);
  });
}

TEST(WithActivations, OthersThanDynamicOnesAreRefused) {
  for (const char* name : {"a8static", "afp8", "a4", "", "a8:g32", "int8"}) {
    expect_error(ErrorKind::invalid_argument, "use a8 or a8full", [&] { parse_activations(name); });
  }
}

}  // namespace
}  // namespace nibble
