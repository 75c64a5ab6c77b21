// That a decoder's layers, run one at a time as calibration does, give what the whole pass gives.
#pragma once

#include <gtest/gtest.h>

#include <vector>

#include "nibble/model/decoder.h"
#include "nibble/model/layer_runner.h"

namespace nibble {

/// Whole layers; and site by site, from what is kept between them.
inline void expect_walks_agree(const DecoderConfig& config, const WeightLoader& load) {
  const Decoder decoder(config, load);
  std::vector<int32_t> ids;
  for (int64_t i = 0; i < std::min<int64_t>(config.context, 40); ++i)
    ids.push_back(static_cast<int32_t>(i * 7 % config.vocab_size));
  const LayerRunner runner(config, load);
  std::vector<float> whole = runner.embed(ids), by_site = whole, kept;
  const WeightRelease keep;
  const ParameterFinder find(config, load, keep);
  for (int i = 0; i < config.layers; ++i) {
    runner.run(runner.layer(i), whole);
    // As calibration builds it, of weights of its own.
    const Layer layer = build_layer(config, i, find, {});
    for (size_t s = 0; s < layer.plan.sites.size(); ++s) {
      kept = runner.input(layer, s, by_site, kept);
      runner.add_output(layer, s, kept, by_site);
    }
    EXPECT_EQ(by_site, whole) << "layer " << i;
  }
  runner.final_norm(whole);
  std::vector<LinearMember> members;
  if (config.tied)
    members.push_back({"head", find.table(Role::token_embedding), std::nullopt});
  else
    members.push_back(find.linear({Role::lm_head}));
  const LinearGroup head(std::move(members), {});
  std::vector<float> logits(ids.size() * static_cast<size_t>(config.vocab_size));
  head.forward(whole, std::ssize(ids), logits.data(), Exec{});
  cap_logits(config, logits);
  KvCache cache = decoder.make_cache(std::ssize(ids));
  EXPECT_EQ(decoder.forward(ids, cache, Decoder::Logits::all, Exec{}), logits);
}

}  // namespace nibble
