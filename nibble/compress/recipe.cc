#include "nibble/compress/recipe.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <limits>
#include <type_traits>

#include "nibble/core/error.h"
#include "nibble/core/files.h"

namespace nibble {
namespace {

constexpr int64_t kRecipeLimit = 1 << 20;
constexpr std::string_view kSpelled[] = {"scheme", "scale_dtype", "inputs", "keep", "set", "also"};

// Every option that is a plain number, word or switch, by the name it has in the recipe: the one
// list that is written, read and checked.
template <class Options, class Visit>
void for_each_option(Options& o, Visit visit) {
  visit("method", o.method);
  visit("half_step_divisor", o.half_step_divisor);
  visit("correction", o.correction);
  visit("correction_damping", o.correction_damping);
  visit("calibration_text", o.calibration.text);
  visit("calibration_samples", o.calibration.samples);
  visit("calibration_length", o.calibration.length);
  visit("seed", o.calibration.seed);
  visit("importance_file", o.importance_file);
  visit("clip", o.tuning.clip);
  visit("damping", o.tuning.damping);
  visit("act_order", o.tuning.act_order);
  visit("sweeps", o.tuning.sweeps);
  visit("steps", o.tuning.steps);
  visit("outlier_threshold", o.outlier_threshold);
  visit("training_samples", o.training.samples);
  visit("training_epochs", o.training.epochs);
  visit("training_batch", o.training.batch);
  visit("training_rate", o.training.rate);
  visit("training_scale_rate", o.training.scale_rate);
}

struct InputsRow {
  CalibrationInputs inputs;
  std::string_view name;
};
constexpr InputsRow kInputs[] = {{CalibrationInputs::quantized, "quantized"},
                                 {CalibrationInputs::corrected, "corrected"}};

struct RecipeReader {
  const JsonFields& fields;
  std::string prefix;

  bool has(std::string_view key) const { return fields.contains(at(key)); }
  std::string at(std::string_view key) const { return prefix + std::string(key); }
  void operator()(std::string_view key, std::string& v) const {
    if (has(key)) v = fields.string(at(key));
  }
  void operator()(std::string_view key, bool& v) const {
    if (has(key)) v = fields.boolean(at(key));
  }
  void operator()(std::string_view key, double& v) const {
    if (has(key)) v = fields.number(at(key));
  }
  template <class Integer>
  void operator()(std::string_view key, Integer& v) const {
    if (!has(key)) return;
    const int64_t number = fields.integer(at(key));
    constexpr bool kSeed = std::is_same_v<Integer, uint64_t>;
    const int64_t most = kSeed ? std::numeric_limits<int64_t>::max() : int64_t{1} << 31;
    if (number < 0 || number > most)
      throw corrupt(fmt::format("expected a number from 0 to {}, found {}", most, number))
          .at("key " + in_quotes(at(key)));
    v = static_cast<Integer>(number);
  }
};

void check_keys(const RecipeReader& read, const std::string& section) {
  std::vector<std::string_view> known(std::begin(kSpelled), std::end(kSpelled));
  const QuantizeOptions none;
  for_each_option(none, [&](std::string_view key, const auto&) { known.push_back(key); });
  for (const std::string& key : read.fields.keys(section)) {
    if (std::find(known.begin(), known.end(), key) != known.end()) continue;
    throw corrupt(fmt::format("not an option of a recipe; there are {}", fmt::join(known, ", ")))
        .at("key " + in_quotes(key));
  }
}

QuantizeOptions read(const JsonFields& fields) {
  const bool inside = fields.has_section("recipe");
  const RecipeReader reader{fields, inside ? "recipe." : ""};
  check_keys(reader, inside ? "recipe" : "");
  QuantizeOptions o;
  for_each_option(o, reader);
  o.scheme = parse_scheme(fields.string(reader.at("scheme")));
  const std::string dtype = fields.string_or(reader.at("scale_dtype"), "f16");
  const auto parsed = parse_dtype(dtype);
  if (parsed != DType::f16 && parsed != DType::bf16 && parsed != DType::f32)
    throw corrupt(fmt::format("{}: use f16, bf16 or f32", in_quotes(dtype)))
        .at("key \"scale_dtype\"");
  o.scale_dtype = *parsed;
  o.inputs = parse_calibration_inputs(
      fields.string_or(reader.at("inputs"), std::string(to_string(o.inputs))));
  for (const std::string& k : fields.strings(reader.at("keep")))
    o.keep.push_back(parse_keep_rule(k));
  for (const std::string& s : fields.strings(reader.at("set"))) o.set.push_back(parse_set_rule(s));
  o.also = fields.strings(reader.at("also"));
  return o;
}

}  // namespace

std::string_view to_string(CalibrationInputs inputs) {
  return kInputs[static_cast<size_t>(inputs)].name;
}

CalibrationInputs parse_calibration_inputs(std::string_view name) {
  for (const InputsRow& r : kInputs) {
    if (r.name == name) return r.inputs;
  }
  throw invalid_argument(fmt::format("inputs {}: use quantized or corrected", in_quotes(name)));
}

void write_recipe(const QuantizeOptions& options, JsonWriter& out) {
  out.key("recipe").begin_object();
  out.field("scheme", to_string(options.scheme));
  out.field("scale_dtype", to_string(options.scale_dtype));
  out.field("inputs", to_string(options.inputs));
  for_each_option(options, [&](std::string_view key, const auto& v) {
    using T = std::decay_t<decltype(v)>;
    if constexpr (std::is_same_v<T, uint64_t>)
      out.field(key, static_cast<int64_t>(v));
    else
      out.field(key, v);
  });
  std::vector<std::string> keep, set;
  for (const KeepRule& r : options.keep)
    keep.push_back(r.dtype ? r.pattern + "=" + std::string(to_string(*r.dtype)) : r.pattern);
  for (const SetRule& r : options.set) set.push_back(r.pattern + "=" + to_string(r.scheme));
  out.array("keep", keep).array("set", set).array("also", options.also).end_object();
}

QuantizeOptions read_recipe(const std::string& path) {
  try {
    return read(JsonFields::parse(read_file(path, kRecipeLimit)));
  } catch (Error& e) {
    e.set_file(path);
    throw;
  }
}

}  // namespace nibble
