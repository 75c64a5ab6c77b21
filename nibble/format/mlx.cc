// The layout of MLX (mlx 0.32 nn/layers/quantized.py, mlx-lm 0.32 utils.py, read 2026-11;
// docs/formats/mlx.md): X.weight U32 [n, k * bits / 32], a stream of codes along the inputs, lowest
// bits first; X.scales [n, k / group] and, of mode affine, X.biases alike.
//
// Of the other modes scales are bytes: exponents of mxfp4 and mxfp8, E4M3 of nvfp4.
#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <set>
#include <utility>

#include "nibble/core/checked.h"
#include "nibble/core/error.h"
#include "nibble/core/float_formats.h"
#include "nibble/format/known_keys.h"
#include "nibble/format/layout_parts.h"
#include "nibble/format/weight_layout.h"
#include "nibble/quant/number.h"

namespace nibble::mlx {
namespace {

// Beside the keys of all modules a config may name this many.
constexpr size_t kMostKeys = 4096;

// The modes there are, each with its usual group and width. Of affine these may be others; the
// rest have no other, and say how nibble spells them.
struct ModeRow {
  std::string_view mode;
  int64_t group, bits;
  std::string_view scheme;
};
constexpr ModeRow kModes[] = {
    {"affine", 64, 4, ""},
    {"mxfp4", 32, 4, "mxfp4"},
    {"mxfp8", 32, 8, "fp8_e4m3:g32"},
    {"nvfp4", 16, 4, "nvfp4"},
};
constexpr int64_t kGroups[] = {32, 64, 128}, kBits[] = {2, 3, 4, 5, 6, 8};

template <class Range, class Value>
bool is_among(const Range& range, const Value& value) {
  return std::find(std::begin(range), std::end(range), value) != std::end(range);
}

std::string weight_name(const std::string& x) { return x + ".weight"; }
std::string scales_name(const std::string& x) { return x + ".scales"; }
std::string biases_name(const std::string& x) { return x + ".biases"; }

// --- tensors ---

Tensor require_codes(const TensorSource& source, const std::string& name, int bits, Shape& shape) {
  const Tensor words = require_matrix(source, name, DType::u32);
  const int64_t bytes = words.shape()[1] * 4, k = bytes * 8 / bits;
  if (k * bits != bytes * 8) {
    throw corrupt(
        fmt::format("{} words a row are no whole codes of {} bits", words.shape()[1], bits))
        .at("tensor " + in_quotes(name));
  }
  shape = Shape{words.shape()[0], k};
  return seen_as(words, DType::u8, Shape{shape[0], bytes});
}

Tensor read_scales(const TensorSource& source, const std::string& name, const QuantizedTensor& q) {
  const Shape shape = scales_shape(q.scheme, q.n(), q.k());
  const ScaleTraits& type = *number(q.scheme).scales;
  if (type.super == SuperScale::tensor)
    return seen_as(require_tensor(source, name, DType::u8, shape), type.stored(DType::f16), shape);
  if (type.values != nullptr) return require_tensor(source, name, DType::u8, shape);
  if (q.scheme.has_codebook())
    return scales_of_exponents(require_tensor(source, name, DType::u8, shape));
  const Tensor t = require_scales(source, name, shape);
  return require_tensor(source, name, t.dtype(), shape);
}

QuantizedTensor from_tensors(const TensorSource& source, const std::string& x,
                             const QuantScheme& scheme, const LayoutInUse& /*use*/) {
  QuantizedTensor q;
  q.scheme = scheme;
  q.codes = require_codes(source, weight_name(x), scheme.bits(), q.shape);
  q.scales = read_scales(source, scales_name(x), q);
  if (number(scheme).offsets)
    q.offsets = require_tensor(source, biases_name(x), q.scales.dtype(), q.scales.shape());
  constexpr float kNone = 1;
  if (number(scheme).scales->super == SuperScale::tensor)
    q.super_scales = Tensor::from<float>(Shape{1}, std::span(&kNone, 1));
  return validated(std::move(q), weight_name(x));
}

std::vector<std::string> stored_names(const TensorSource& /*source*/, const std::string& x,
                                      const QuantScheme& scheme) {
  std::vector<std::string> out{weight_name(x), scales_name(x)};
  if (number(scheme).offsets) out.push_back(biases_name(x));
  return out;
}

// --- writing ---

bool is_affine(const QuantScheme& s) {
  return number(s).offsets && number(s).scales->super == SuperScale::none;
}

// Integers are affine with the offset -zero * scale: of symmetric ones that is exact in the type of
// the scales, of others in f32.
bool can_hold(const QuantScheme& s) {
  if (s.activations != ActivationType::none || s.granularity != Granularity::group) return false;
  if (to_string(s) == "mxfp4") return true;
  return (is_affine(s) || s.is_integer()) && is_among(kBits, s.bits()) &&
         is_among(kGroups, s.group);
}

bool can_say(const SchemeMap& schemes) {
  return !schemes.empty() && std::all_of(schemes.begin(), schemes.end(),
                                         [](const auto& entry) { return can_hold(entry.second); });
}

std::string misfit(const QuantScheme& scheme, const Shape& shape) {
  if (shape[1] % scheme.group == 0) return "";
  return fmt::format("mlx has whole groups, and {} inputs are none of {}", shape[1], scheme.group);
}

// Of the scales that a scheme has, and its offsets.
DType written_dtype(const QuantScheme& scheme, DType asked) {
  return scheme.asymmetric ? DType::f32 : stored_scale_dtype(scheme, asked);
}

bool is_f32(double x) { return static_cast<double>(static_cast<float>(x)) == x; }

// Of integers -zero * scale. Codes times scales, and these, must be numbers of f32 for the sum of
// both to be what the integers are: with scales of f16 and bf16 they are.
Tensor offsets_of(const QuantizedTensor& q, const std::string& name) {
  if (q.offsets) return *q.offsets;
  const int steps = (1 << q.scheme.bits()) - 1, middle = 1 << (q.scheme.bits() - 1);
  Tensor wide(DType::f32, q.scales.shape());
  auto to = wide.mutable_data<float>();
  bool exact = true;
  for (size_t i = 0; i < to.size(); ++i) {
    const int zero = q.zeros ? q.zeros->data<uint8_t>()[i] : middle;
    const double scale = static_cast<double>(q.scale(static_cast<int64_t>(i)));
    to[i] = static_cast<float>(-zero * scale);
    exact = exact && is_f32(-zero * scale) && is_f32(steps * scale);
  }
  Tensor out = convert(wide, written_dtype(q.scheme, q.scales.dtype()));
  if (exact && plainly_finite(out)) return out;
  throw unsupported(
      "mlx adds an offset to what is a product, which with these scales is not the "
      "same to the last bit: use `scale_dtype` f16 or bf16, or affine types")
      .at("tensor " + in_quotes(name));
}

std::vector<NamedTensor> to_tensors(const std::string& x, const QuantizedTensor& q) {
  NIBBLE_CHECK(!q.input_order);
  const Shape words{q.n(), q.codes.shape()[1] / 4};
  const Tensor scales = q.scheme.asymmetric ? convert(q.scales, DType::f32) : q.scales;
  std::vector<NamedTensor> out{{weight_name(x), seen_as(q.codes, DType::u32, words)},
                               {scales_name(x), scales}};
  if (!q.scheme.has_codebook()) out.push_back({biases_name(x), offsets_of(q, weight_name(x))});
  return out;
}

std::vector<TensorInfo> infos(const std::string& x, const QuantScheme& scheme, const Shape& shape,
                              DType scale_dtype) {
  const Shape scales = scales_shape(scheme, shape[0], shape[1]);
  const DType dtype = written_dtype(scheme, scale_dtype);
  std::vector<TensorInfo> out{
      {weight_name(x), DType::u32, Shape{shape[0], packed_row_bytes(shape[1], scheme.bits()) / 4}},
      {scales_name(x), dtype, scales}};
  if (!scheme.has_codebook()) out.push_back({biases_name(x), dtype, scales});
  return out;
}

void write_settings(const QuantScheme& s, JsonWriter& out) {
  out.field("group_size", s.group).field("bits", s.bits());
  out.field("mode", s.has_codebook() ? "mxfp4" : "affine");
}

// The scheme of the first module, and of every other that differs. What has no scales is plain.
void write_config(const SchemeMap& schemes, const std::vector<std::string>& /*plain*/,
                  JsonWriter& out) {
  const QuantScheme& usual = schemes.begin()->second;
  out.begin_object();
  write_settings(usual, out);
  for (const auto& [module, scheme] : schemes) {
    if (scheme == usual) continue;
    out.key(module).begin_object();
    write_settings(scheme, out);
    out.end_object();
  }
  out.end_object();
}

// --- config ---

// MLX's own section, or that of other programs, where it is copied to.
std::string section_of(const JsonFields& f) {
  return f.has_section("quantization") ? "quantization" : "quantization_config";
}

Error not_read(const std::string& key, const std::string& said, std::string_view can_be) {
  return unsupported(fmt::format("is {}, which nibble does not read; {} can be", said, can_be))
      .at("key " + in_quotes(key));
}

const ModeRow& row_of(const std::string& mode, const std::string& at) {
  for (const ModeRow& r : kModes) {
    if (r.mode == mode) return r;
  }
  throw not_read(at + ".mode", in_quotes(mode), "affine, mxfp4, mxfp8 and nvfp4");
}

// The scheme that an object says; what it does not say is as usual for its mode.
QuantScheme scheme_at(const JsonFields& f, const std::string& at) {
  const ModeRow& row = row_of(f.string_or(at + ".mode", "affine"), at);
  const bool affine = row.scheme.empty();
  const int64_t group = f.integer_or(at + ".group_size", row.group),
                bits = f.integer_or(at + ".bits", row.bits);
  if (affine ? !is_among(kBits, bits) : bits != row.bits)
    throw not_read(at + ".bits", std::to_string(bits),
                   affine ? "2, 3, 4, 5, 6 and 8" : std::to_string(row.bits));
  if (affine ? !is_among(kGroups, group) : group != row.group)
    throw not_read(at + ".group_size", std::to_string(group),
                   affine ? "32, 64 and 128" : std::to_string(row.group));
  return parse_scheme(affine ? fmt::format("affine{}:g{}", bits, group) : std::string(row.scheme));
}

constexpr std::string_view kModuleKeys[] = {"group_size", "bits", "mode"};
// What a module may be told to do besides, which nibble does not.
constexpr KnownKey kDoings[] = {{"quantize_input", "what a layer reads (rounded inputs)"},
                                {"global_scale", "scales (one of the whole tensor above them)"}};

// Whether a key of such an object is one of its settings; refuses what would be done.
bool is_setting(const JsonFields& f, const std::string& at, const std::string& key) {
  for (const KnownKey& d : kDoings) {
    if (d.name != key) continue;
    if (!f.boolean_or(at + '.' + key, false)) return true;
    throw unsupported(fmt::format("changes {}, which nibble does not do", d.changes))
        .at("key " + in_quotes(at + '.' + key));
  }
  return is_among(kModuleKeys, key);
}

Error unknown_key(const std::string& key) {
  return unsupported("nibble does not know this key, and it may change what the model computes")
      .at("key " + in_quotes(key));
}

// Modules that a config names: their scheme, or nothing where they are plain.
using NamedModules = std::map<std::string, std::optional<QuantScheme>, std::less<>>;

QuantScheme scheme_of_module(const JsonFields& f, const std::string& at) {
  for (const std::string& key : f.keys(at)) {
    if (!is_setting(f, at, key) && !is_empty(f, at + '.' + key)) throw unknown_key(at + '.' + key);
  }
  return scheme_at(f, at);
}

// Keys beside the settings are names of modules, with settings of their own or `false`; `true` is
// one only where the model has a module of that name.
NamedModules named_modules(const JsonFields& f, const std::string& section,
                           const QuantScheme& usual, const std::set<std::string_view>& names) {
  NamedModules out;
  const std::vector<std::string> keys = f.keys(section);
  if (keys.size() > kMostKeys) {
    throw unsupported(fmt::format("{} keys, limit {}", keys.size(), kMostKeys))
        .at("key " + in_quotes(section));
  }
  for (const std::string& key : keys) {
    const std::string whole = section + '.' + key, shown = f.shown(whole);
    if (key == "quant_method" || is_setting(f, section, key)) continue;
    if (shown == "an object") {
      out.emplace(key, scheme_of_module(f, whole));
    } else if (shown == "false") {
      out.emplace(key, std::nullopt);
    } else if (shown == "true" && names.contains(key)) {
      out.emplace(key, usual);
    } else if (!is_empty(f, whole)) {
      throw unknown_key(whole);
    }
  }
  return out;
}

// Which tensors are words.
std::set<std::string_view> names_of_words(const TensorSource& tensors) {
  std::set<std::string_view> out;
  for (const TensorInfo& info : tensors.list()) {
    if (info.dtype == DType::u32) out.insert(info.name);
  }
  return out;
}

// Words and scales say together how many bits a group has.
void require_bits_of_groups(const TensorSource& tensors, const std::string& x,
                            const QuantScheme& scheme) {
  if (!tensors.contains(weight_name(x)) || !tensors.contains(scales_name(x))) return;
  const Shape words = tensors.get(weight_name(x)).shape(),
              scales = tensors.get(scales_name(x)).shape();
  if (words.rank() != 2 || scales.rank() != 2) return;  // said by who reads them
  const auto of_words = checked_mul(words[1], 32),
             of_groups = checked_mul(scales[1], scheme.group * scheme.bits());
  if (of_words && of_groups && *of_words == *of_groups) return;
  throw corrupt(fmt::format("holds {} words a row for {} groups, which are not of {} weights of {} "
                            "bits, as the config says",
                            words[1], scales[1], scheme.group, scheme.bits()))
      .at("tensor " + in_quotes(weight_name(x)));
}

StoredModules read_config(const JsonFields& f, std::span<const MatrixModule> modules,
                          const TensorSource& tensors) {
  const std::string section = section_of(f);
  std::set<std::string_view> names;
  for (const MatrixModule& m : modules) names.insert(m.name);
  const QuantScheme usual = scheme_at(f, section);
  const NamedModules named = named_modules(f, section, usual, names);
  const std::set<std::string_view> words = names_of_words(tensors);
  StoredModules out;
  for (const MatrixModule& m : modules) {
    const bool packed =
        words.contains(weight_name(m.name)) || tensors.contains(scales_name(m.name));
    const auto found = named.find(m.name);
    const std::optional<QuantScheme> said = found == named.end() ? usual : found->second;
    if (packed && !said) {
      throw corrupt("says that this module is plain, but the file has it packed")
          .at("key " + in_quotes(section + '.' + m.name));
    }
    if (!said || (!packed && found == named.end())) continue;
    require_bits_of_groups(tensors, m.name, *said);
    out.schemes.emplace(m.name, *said);
  }
  return out;
}

}  // namespace

const WeightLayout& weight_layout() {
  static const WeightLayout kLayout = {
      .holds_what =
          "affine2 to affine8 and int2 to int8 with groups of 32, 64 or 128, :asym or not; mxfp4",
      .holds = can_hold,
      .can_hold = can_hold,
      .can_say = can_say,
      .misfit = misfit,
      .usual_scheme = "affine4:g64",
      .other_key = "quantization",
      .to_tensors = to_tensors,
      .infos = infos,
      .from_tensors = from_tensors,
      .stored_names = stored_names,
      .write_config = write_config,
      .read_config = read_config};
  return kLayout;
}

}  // namespace nibble::mlx
