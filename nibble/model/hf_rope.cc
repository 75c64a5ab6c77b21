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
                                    {"yarn", RopeScaling::yarn},
                                    {"dynamic", RopeScaling::dynamic},
                                    {"longrope", RopeScaling::longrope},
                                    {"proportional", RopeScaling::proportional}};
// Names of published files.
constexpr ScalingRow kOldScalings[] = {{"su", RopeScaling::longrope}};

std::string_view name_of(RopeScaling scaling) {
  for (const ScalingRow& r : kScalings) {
    if (r.scaling == scaling) return r.name;
  }
  NIBBLE_CHECK(false);
  return {};
}

RopeScaling scaling_of(const std::string& name, const std::string& key) {
  std::vector<std::string_view> known;
  for (const ScalingRow& r : kScalings) {
    if (r.name == name) return r.scaling;
    known.push_back(r.name);
  }
  for (const ScalingRow& r : kOldScalings) {
    if (r.name == name) return r.scaling;
  }
  throw unsupported(fmt::format("rotary scaling {} is not one that nibble knows (it knows {})",
                                in_quotes(name), fmt::join(known, ", ")))
      .at(at_key(key));
}

void read_yarn(const JsonFields& f, const std::string& at, RopeConfig& rope) {
  rope.attention_factor = positive_or(f, at + "attention_factor", 0);
  rope.beta_fast = positive_or(f, at + "beta_fast", 32);
  rope.beta_slow = positive_or(f, at + "beta_slow", 1);
  rope.mscale = f.number_or(at + "mscale", 0);
  rope.mscale_all_dim = f.number_or(at + "mscale_all_dim", 0);
  rope.truncate = f.boolean_or(at + "truncate", true);
}

// The context before stretching stands beside it, or at the top; the factor follows from both.
void read_longrope(const JsonFields& f, const std::string& at, int64_t context, RopeConfig& rope) {
  const std::string own = at + "original_max_position_embeddings",
                    top = "original_max_position_embeddings";
  rope.original_context = f.contains(own) ? size(f, own) : f.contains(top) ? size(f, top) : context;
  rope.factor = positive_or(
      f, at + "factor", static_cast<double>(context) / static_cast<double>(rope.original_context));
  rope.attention_factor = positive_or(f, at + "attention_factor", 0);
  rope.short_factors = f.numbers(at + "short_factor");
  rope.long_factors = f.numbers(at + "long_factor");
}

// Theta grows with texts beyond the context, which are refused.
void read_dynamic(const JsonFields& f, const std::string& at, int64_t context, RopeConfig& rope) {
  rope.alpha = positive_or(f, at + "alpha", 0);
  const std::string original = at + "original_max_position_embeddings";
  if (f.integer_or(original, context) == context) return;
  throw unsupported("a theta that grows within the context cannot be run").at(at_key(original));
}

void read_scaling(const JsonFields& f, const std::string& at, int64_t context, RopeConfig& rope) {
  if (rope.scaling == RopeScaling::longrope) return read_longrope(f, at, context, rope);
  if (rope.scaling == RopeScaling::dynamic || rope.scaling == RopeScaling::proportional) {
    rope.factor = positive_or(f, at + "factor", 1);
    if (rope.scaling == RopeScaling::dynamic) read_dynamic(f, at, context, rope);
    return;
  }
  rope.factor = positive(f, at + "factor");
  if (rope.scaling == RopeScaling::linear) return;
  const std::string original = at + "original_max_position_embeddings";
  rope.original_context = f.integer_or(original, context) == context ? context : size(f, original);
  if (rope.scaling == RopeScaling::yarn) return read_yarn(f, at, rope);
  rope.low_freq_factor = positive(f, at + "low_freq_factor");
  rope.high_freq_factor = positive(f, at + "high_freq_factor");
  if (rope.high_freq_factor > rope.low_freq_factor) return;
  throw corrupt(fmt::format("must be above low_freq_factor {} (got {})", rope.low_freq_factor,
                            rope.high_freq_factor))
      .at(at_key(at + "high_freq_factor"));
}

// "rope_type", or "type" in older files; where both stand they must agree.
RopeScaling read_kind(const JsonFields& f, const std::string& at) {
  const std::string now = at + "rope_type", old = at + "type";
  const std::string key = f.contains(now) ? now : old;
  const std::string name = f.string_or(key, "default");
  if (const std::string other = f.string_or(old, name); other != name) {
    throw corrupt(fmt::format("is {}, \"{}\" is {}", in_quotes(other), key, in_quotes(name)))
        .at(at_key(old));
  }
  return scaling_of(name, key);
}

void refuse_part_of_head(const JsonFields& f, const std::string& key) {
  if (f.number_or(key, 1.0) == 1.0) return;
  throw unsupported("rotating only a part of each head cannot be run").at(at_key(key));
}

// Keys in `section` that its kind of scaling does not read would be lost without a word.
void refuse_unread(const JsonFields& f, const std::string& section, RopeScaling scaling) {
  for (const std::string& key : f.unread()) {
    if (!key.starts_with(section + '.') || f.is_null(key)) continue;
    const std::string_view name = std::string_view(key).substr(section.size() + 1);
    const bool unscaled = name == "factor" && f.number(key) == 1;
    if (name == "finetuned" || unscaled || name == "original_max_position_embeddings") continue;
    throw unsupported(fmt::format("rotary scaling {} does nothing with it (remove the key, or name "
                                  "the rope_type that needs it)",
                                  in_quotes(name_of(scaling))))
        .at(at_key(key));
  }
}

// One of the two objects, "rope_scaling" or "rope_parameters". `rope` holds the theta outside.
RopeConfig read_section(const JsonFields& f, const std::string& section, RopeConfig rope,
                        int64_t context, const RopeReading& how) {
  const std::string at = section + '.';
  rope.theta = positive_or(f, at + "rope_theta", rope.theta);
  rope.scaling = read_kind(f, at);
  if (how.parts)
    rope.part = positive_or(f, at + "partial_rotary_factor", rope.part);
  else
    refuse_part_of_head(f, at + "partial_rotary_factor");
  if (rope.scaling != RopeScaling::none) read_scaling(f, at, context, rope);
  refuse_unread(f, section, rope.scaling);
  return rope;
}

void write_numbers(std::string_view key, const std::vector<double>& values, JsonWriter& out) {
  out.key(key).begin_array();
  for (const double v : values) out.value(v);
  out.end_array();
}

void write_scaling(const RopeConfig& rope, JsonWriter& out) {
  out.field("rope_type", name_of(rope.scaling));
  out.field("factor", rope.factor);
  if (rope.scaling == RopeScaling::llama3 || rope.scaling == RopeScaling::yarn ||
      rope.scaling == RopeScaling::longrope)
    out.field("original_max_position_embeddings", rope.original_context);
  if (rope.attention_factor > 0) out.field("attention_factor", rope.attention_factor);
  if (rope.alpha > 0) out.field("alpha", rope.alpha);
  if (rope.scaling == RopeScaling::longrope) {
    write_numbers("short_factor", rope.short_factors, out);
    write_numbers("long_factor", rope.long_factors, out);
  }
  if (rope.scaling == RopeScaling::llama3) {
    out.field("low_freq_factor", rope.low_freq_factor);
    out.field("high_freq_factor", rope.high_freq_factor);
  }
  if (rope.scaling != RopeScaling::yarn) return;
  out.field("beta_fast", rope.beta_fast).field("beta_slow", rope.beta_slow);
  if (rope.mscale > 0) out.field("mscale", rope.mscale);
  if (rope.mscale_all_dim > 0) out.field("mscale_all_dim", rope.mscale_all_dim);
  if (!rope.truncate) out.field("truncate", false);
}

void require_same_theta(const RopeConfig& chosen, double other, std::string_view where) {
  if (chosen.theta == other) return;
  throw corrupt(fmt::format("is {} {} and {} elsewhere in the file: keep one of them", other, where,
                            chosen.theta))
      .at(at_key("rope_theta"));
}

}  // namespace

RopeConfig read_rope(const JsonFields& f, double default_theta, int64_t context,
                     const RopeReading& how) {
  RopeConfig rope;
  rope.neighbours = how.neighbours;
  if (how.parts)
    rope.part = positive_or(f, "partial_rotary_factor", how.part);
  else
    refuse_part_of_head(f, "partial_rotary_factor");
  rope.theta = positive_or(f, "rope_theta", default_theta);
  const RopeConfig outside = rope;
  const std::string nested = fmt::format("rope_parameters.{}", how.layers);
  if (!how.layers.empty() && f.has_section(nested))
    return read_section(f, nested, rope, context, how);
  const bool old = f.has_section("rope_scaling"), now = f.has_section("rope_parameters");
  if (!old && !now) return rope;
  rope = read_section(f, old ? "rope_scaling" : "rope_parameters", rope, context, how);
  if (!f.is_null("rope_theta") && f.contains("rope_theta"))
    require_same_theta(rope, outside.theta, "at the top");
  if (!old || !now) return rope;
  // People add rope_scaling by hand, as model cards say; transformers lets it win.
  const RopeConfig other = read_section(f, "rope_parameters", outside, context, how);
  require_same_theta(rope, other.theta, "in rope_parameters");
  if (other.scaling == RopeScaling::none || other == rope) return rope;
  throw corrupt("and rope_parameters scale differently: keep one of them")
      .at(at_key("rope_scaling"));
}

void write_rope(const RopeConfig& rope, JsonWriter& out) {
  out.field("rope_theta", rope.theta);
  if (rope.part != 1) out.field("partial_rotary_factor", rope.part);
  if (rope.scaling == RopeScaling::none) return;
  out.key("rope_scaling").begin_object();
  write_scaling(rope, out);
  out.end_object();
}

namespace {

void write_one(std::string_view key, const RopeConfig& rope,
               std::initializer_list<std::pair<std::string_view, double>> more, JsonWriter& out) {
  out.key(key).begin_object();
  out.field("rope_theta", rope.theta);
  if (rope.part != 1) out.field("partial_rotary_factor", rope.part);
  if (rope.scaling == RopeScaling::none)
    out.field("rope_type", "default");
  else
    write_scaling(rope, out);
  for (const auto& [name, value] : more) out.field(name, value);
  out.end_object();
}

}  // namespace

void write_rope_parameters(const RopeConfig& rope,
                           std::initializer_list<std::pair<std::string_view, double>> more,
                           JsonWriter& out) {
  write_one("rope_parameters", rope, more, out);
}

void write_rope_parameters(const DecoderConfig& c, JsonWriter& out) {
  out.key("rope_parameters").begin_object();
  write_one("full_attention", c.rope, {}, out);
  write_one("sliding_attention", c.window_rope.value_or(c.rope), {}, out);
  out.end_object();
}

}  // namespace nibble::hf
