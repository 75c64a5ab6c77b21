// A report with invented numbers that look like a demo's: what the report's tests draw.
#pragma once

#include <cmath>
#include <string>
#include <vector>

#include "nibble/report/demo_report.h"

namespace nibble::testing {

/// Seconds of 20 rounds of `tokens` at `speed`, up to a share of `noise` to either side; which of
/// them are slow is `step`'s.
inline Latency invented_latency(double tokens, double speed, double noise, int step) {
  Latency out;
  for (int i = 0; i < 20; ++i)
    out.seconds.push_back(tokens / speed * (1 + noise * (i * step % 20 - 9.5) / 9.5));
  return out;
}

/// As if it had been timed in turn with a baseline.
inline void time_against(Measurement& m, double speed, double base_speed, double noise = 0.01) {
  m.latency = invented_latency(6.9, speed, noise, 7);
  m.base_latency = invented_latency(6.9, base_speed, noise, 3);
  m.tokens_per_second = speed;
}

inline Measurement invented_model(const std::string& name, const std::string& scheme, double bits,
                                  double change, double error, double kl, double speed) {
  Measurement m;
  m.name = name;
  m.scheme = scheme;
  m.folder = name;
  m.parameters = 31008;
  m.bits_per_weight = bits;
  m.file_bytes = static_cast<int64_t>(31008 * bits / 8) + 900;
  m.memory_bytes = m.file_bytes + 4096;
  m.weight_bytes = static_cast<int64_t>(29000 * bits / 8);
  m.loss = 2.1273 + change;
  m.standard_error = 0.0121;
  m.perplexity = std::exp(m.loss);
  m.tokens = 2871;
  m.loss_difference = change;
  m.loss_difference_standard_error = error;
  m.divergence = {kl,     kl / 12, kl * 0.6, kl * 2.2,
                  kl * 7, kl * 12, kl * 20,  1 - std::sqrt(kl) * 0.3};
  time_against(m, speed, speed);
  m.base_latency = {};
  m.kernel = scheme == "f32" ? "gemm_f32_avx512" : "gemm_i8_avx512vnni";
  if (scheme != "f32") {
    m.dequantized_tokens_per_second = speed * 0.42;
    m.dequantized_latency = invented_latency(6.9, speed * 0.42, 0.01, 3);
  }
  m.samples = {"kamon", "ann",   "karai", "jaire", "vialan",
               "karia", "yeran", "anna",  "areli", "kaina"};
  return m;
}

inline Histogram bell(double low, double high, int bins, double width, int levels) {
  Histogram h{low, high, std::vector<int64_t>(static_cast<size_t>(bins))};
  const double bin = (high - low) / bins;
  for (int i = 0; i < bins; ++i) {
    double x = low + bin * (i + 0.5);
    const double spacing = levels > 0 ? (high - low) / levels : bin;
    if (levels > 0 && std::abs(x - std::round(x / spacing) * spacing) > bin / 2) continue;
    h.counts[static_cast<size_t>(i)] =
        static_cast<int64_t>(spacing / bin * 900 * std::exp(-x * x / (2 * width * width)));
  }
  return h;
}

inline std::vector<Measurement> invented_models() {
  std::vector<Measurement> models = {
      invented_model("f32", "f32", 32, 0, 0, 0, 955e3),
      invented_model("int8 per tensor", "int8:tensor", 8.01, 0.0004, 0.0003, 3.1e-4, 812e3),
      invented_model("int8", "int8", 8.33, 0.0001, 0.0002, 1.2e-4, 805e3),
      invented_model("int8 (embeddings kept)", "int8", 10.9, 0.0001, 0.0002, 0.8e-4, 840e3),
      invented_model("int4 g16", "int4:g16", 5, 0.0412, 0.0034, 0.031, 610e3),
      invented_model("int4 g16 asym", "int4:g16:asym", 5.5, 0.0288, 0.0029, 0.022, 590e3),
      invented_model("int3 g16", "int3:g16", 4, 0.213, 0.009, 0.17, 520e3),
      invented_model("int2 g16", "int2:g16", 3, 1.31, 0.031, 1.02, 540e3)};
  for (size_t i = 1; i < models.size(); ++i)
    time_against(models[i], models[i].tokens_per_second, 955e3);
  models[1].samples[3] = "jairi";
  models[4].samples = {"kamon", "ana",  "karai", "jain", "vialin",
                       "kari",  "yera", "anna",  "arel", "kain"};
  models[5].samples = {"kamon", "ann",   "karai", "jaina",  "vialan",
                       "karia", "yeran", "ana",   "arelin", "kaina"};
  models[6].samples = {"kamo", "aon", "kri", "jaeeen", "via", "kria", "yen", "an", "arlli", "kaia"};
  models[7].samples = {"kkmmoo", "",       "xkri", "jjaeeenoo", "vvi",
                       "zz",     "yyyeen", "aann", "rrlli",     "oaia"};
  return models;
}

inline DemoResult demo_of(std::vector<Measurement> models) {
  DemoResult out;
  out.models = std::move(models);
  return out;
}

inline void invent_distributions(DemoResult& r) {
  int i = 0;
  for (const char* name : {"wte.weight", "wpe.weight", "h.0.attn.wq.weight", "h.0.attn.wo.weight",
                           "h.0.mlp.fc1.weight", "h.0.mlp.fc2.weight", "lm_head.weight"}) {
    const double width = 0.12 + 0.02 * i;
    r.histograms.push_back(
        {name,
         "int4:g16",
         bell(-0.8, 0.8, 80, width, 0),
         bell(-0.8, 0.8, 80, width, 20),
         {-1, 1, {0, 0, 0, 0, 0, 90, 102, 97, 100, 99, 103, 98, 101, 95, 97, 0, 0, 0, 0, 0}}});
    OutlierStats s;
    s.tensor = name;
    s.moments = {2304, 0.001, width, -width * 4.5, width * (4 + i), width * (4 + i), 3.1 + i, 0};
    s.outliers = i / 2;
    s.share = i / 2 / 2304.0;
    s.by_channel = std::vector<int64_t>(48, 0);
    if (i > 1) s.by_channel[7] = i / 2;
    s.worst_channel_ratio = 1.4 + 0.3 * i;
    r.weight_outliers.push_back(s);
    if (i > 1) {
      s.worst_channel_ratio *= 2.2;
      s.tensor = "input of " + s.tensor;
      r.activation_outliers.push_back(s);
    }
    r.sensitivity.push_back({name, "int4:g16", 0.011 / (1 + i), 0.0093 / (1 + i * i)});
    if (i % 2 == 0)
      r.remedies.push_back({name, 8, 3.1e-6, 3.3e-6 / (1 + 0.2 * i), 1.2e-6 / (1 + i * 0.1), 0.7});
    ++i;
  }
}

inline DemoResult invented_report() {
  DemoResult r;
  r.run.machine = "AMD EPYC 9xx5, avx512vnni, 2 threads";
  r.run.date = "2026-11-22 01:59 UTC";
  r.run.version = "0.1.0";
  r.run.command = "nibble demo -o demo-out --steps 3000 --batch 32 --seed 42 --threads 2";
  r.data = "data/names.txt: 4,012 unique names, 3,610 for training";
  r.model = "microGPT, 1 layer, 48 wide, 31,008 weights";
  r.steps = 3000;
  r.batch = 32;
  r.train_seconds = 4.21;
  r.train_tokens_per_second = 164e3;
  uint64_t noise = 1;
  for (int i = 0; i < 3000; ++i) {
    noise = noise * 6364136223846793005u + 1442695040888963407u;
    const double jitter = static_cast<double>(noise >> 40) / 16777216.0 - 0.5;
    r.losses.push_back(static_cast<float>(2.08 + 1.25 * std::exp(-i / 160.0) + 0.2 * jitter));
  }
  r.heldout_loss = 2.1273;
  r.bigram_loss = 2.454;
  r.models = invented_models();
  invent_distributions(r);
  return r;
}

}  // namespace nibble::testing
