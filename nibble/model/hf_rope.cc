// Rotary positions in config.json.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <vector>

#include "nibble/model/hf_config.h"

namespace nibble::hf {
namespace {

struct ScalingRow {
  std::string_view name;
  RopeScaling scaling;
};
constexpr ScalingRow kScalings[] = {{"default", RopeScaling::none},
                                    {"linear", RopeScaling::linear},
                                    {"llama3", RopeScaling::llama3},
                                    {"yarn", RopeScaling::yarn}};

RopeScaling scaling_of(const std::string& name, const std::string& key) {
  std::vector<std::string_view> known;
  for (const ScalingRow& r : kScalings) {
    if (r.name == name) return r.scaling;
    known.push_back(r.name);
  }
  throw unsupported(fmt::format("rotary scaling {} is not one that nibble knows (it knows {})",
                                in_quotes(name), fmt::join(known, ", ")))
      .at(fmt::format("key \"{}\"", key));
}

// The object the scaling stands in, with a dot behind; empty where there is none.
std::string section_of(const JsonFields& f) {
  for (const char* name : {"rope_parameters", "rope_scaling"}) {
    if (f.has_section(name) && !f.is_null(name)) return std::string(name) + ".";
  }
  return "";
}

void read_yarn(const JsonFields& f, const std::string& at, RopeConfig& rope) {
  rope.attention_factor = f.number_or(at + "attention_factor", 0);
  rope.beta_fast = f.number_or(at + "beta_fast", 32);
  rope.beta_slow = f.number_or(at + "beta_slow", 1);
  rope.mscale = f.number_or(at + "mscale", 0);
  rope.mscale_all_dim = f.number_or(at + "mscale_all_dim", 0);
  rope.truncate = f.boolean_or(at + "truncate", true);
}

}  // namespace

RopeConfig read_rope(const JsonFields& f, double default_theta, int64_t context) {
  RopeConfig rope;
  rope.theta = f.number_or("rope_theta", default_theta);
  const std::string at = section_of(f);
  if (at.empty()) return rope;
  rope.theta = f.number_or(at + "rope_theta", rope.theta);
  const std::string key = at + (f.contains(at + "rope_type") ? "rope_type" : "type");
  rope.scaling = scaling_of(f.string_or(key, "default"), key);
  if (f.number_or(at + "partial_rotary_factor", 1.0) != 1.0) {
    throw unsupported("rotating only a part of each head cannot be run")
        .at(fmt::format("key \"{}partial_rotary_factor\"", at));
  }
  if (rope.scaling == RopeScaling::none) return rope;
  rope.factor = f.number(at + "factor");
  if (rope.scaling == RopeScaling::linear) return rope;
  rope.original_context = f.integer_or(at + "original_max_position_embeddings", context);
  if (rope.scaling == RopeScaling::yarn) {
    read_yarn(f, at, rope);
  } else {
    rope.low_freq_factor = f.number(at + "low_freq_factor");
    rope.high_freq_factor = f.number(at + "high_freq_factor");
  }
  return rope;
}

void write_rope(const RopeConfig& rope, JsonWriter& out) {
  out.field("rope_theta", rope.theta);
  if (rope.scaling == RopeScaling::none) return;
  out.key("rope_scaling").begin_object();
  for (const ScalingRow& r : kScalings) {
    if (r.scaling == rope.scaling) out.field("rope_type", r.name);
  }
  out.field("factor", rope.factor);
  if (rope.scaling != RopeScaling::linear)
    out.field("original_max_position_embeddings", rope.original_context);
  if (rope.scaling == RopeScaling::llama3) {
    out.field("low_freq_factor", rope.low_freq_factor);
    out.field("high_freq_factor", rope.high_freq_factor);
  }
  if (rope.scaling == RopeScaling::yarn) {
    if (rope.attention_factor > 0) out.field("attention_factor", rope.attention_factor);
    out.field("beta_fast", rope.beta_fast).field("beta_slow", rope.beta_slow);
    if (rope.mscale > 0) out.field("mscale", rope.mscale);
    if (rope.mscale_all_dim > 0) out.field("mscale_all_dim", rope.mscale_all_dim);
    if (!rope.truncate) out.field("truncate", false);
  }
  out.end_object();
}

}  // namespace nibble::hf
