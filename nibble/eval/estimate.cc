#include "nibble/eval/estimate.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <optional>
#include <utility>

#include "nibble/core/checked.h"
#include "nibble/core/error.h"
#include "nibble/kernels/kernels.h"
#include "nibble/model/architecture.h"
#include "nibble/model/layer_pass.h"
#include "nibble/nn/packed_weight.h"
#include "nibble/quant/bits.h"

namespace nibble {
namespace {

bool covered(const DecoderConfig& config, const ParamSpec& p, const EstimateOptions& o) {
  if (!p.is_matrix()) return false;
  if (p.layer >= 0 || architecture(config.architecture).cover_every_matrix) return true;
  return p.role == Role::lm_head ? o.head : o.embeddings;
}

DType float_dtype(const QuantScheme& scheme) {
  return scheme.type == NumberType::f32   ? DType::f32
         : scheme.type == NumberType::f16 ? DType::f16
                                          : DType::bf16;
}

int64_t bytes_of(const DecoderConfig& config, const ParamSpec& p, const QuantScheme& scheme,
                 const EstimateOptions& o) {
  const int64_t n = p.shape.elements();
  if (p.role == Role::delta_a || p.role == Role::delta_b)  // few rows, packed as 64
    return ceil_div(p.shape[0], kOutputSlice) * kOutputSlice * p.shape[1] * size_of(DType::f32);
  if (!p.is_matrix()) return n * size_of(DType::f32);  // as loaded
  if (scheme.is_float()) return n * size_of(float_dtype(scheme));
  if (!covered(config, p, o)) return n * size_of(o.plain);
  return planned_bytes(scheme, p.shape[0], p.shape[1], DType::f16);
}

// The head's matrix is the token embedding where they are tied.
bool read_for_each_token(const DecoderConfig& config, const ParamSpec& p) {
  if (p.shape.rank() != 2) return false;
  if (p.role == Role::token_embedding) return config.tied;
  return p.role != Role::position_embedding;
}

int64_t rounded(double value, int64_t to) {
  return std::max<int64_t>(static_cast<int64_t>(std::llround(value / static_cast<double>(to))), 1) *
         to;
}

// Parameters of a Llama-like model of this width with a layer for each 128 of it.
double parameters_of(double width, double vocab) {
  return 12 * width * width * width / 128 + 2 * vocab * width;
}

int64_t width_for(double parameters, double vocab) {
  double low = 16, high = 1e6;
  for (int i = 0; i < 100; ++i) {
    const double middle = (low + high) / 2;
    (parameters_of(middle, vocab) < parameters ? low : high) = middle;
  }
  return rounded(low, low < 1024 ? 64 : 128);
}

int64_t layers_for(double parameters, double width, double vocab) {
  if (parameters <= 0) return rounded(width / 128, 1);
  return rounded((parameters - 2 * vocab * width) / (12 * width * width), 1);
}

}  // namespace

double Estimate::tokens_per_second(double bandwidth) const {
  return weight_bytes > 0 ? bandwidth / static_cast<double>(weight_bytes) : 0;
}

double Estimate::tokens_per_second_full(double bandwidth) const {
  const int64_t read = weight_bytes + kv_bytes;
  return read > 0 ? bandwidth / static_cast<double>(read) : 0;
}

int64_t kv_bytes_per_token(const DecoderConfig& config, DType kv) {
  return KvCache::bytes_per_token(cache_shape(config), kv);
}

namespace {

// As quantizing does: a head that alone is covered becomes a matrix of its own.
DecoderConfig as_quantized(DecoderConfig config, const QuantScheme& scheme,
                           const EstimateOptions& o) {
  const bool every = architecture(config.architecture).cover_every_matrix;
  if (config.tied && o.head && !o.embeddings && !every && !scheme.is_float()) config.tied = false;
  return config;
}

// The rows that a product reads, where they are rounded, and what its kernel unpacks.
int64_t product_bytes(const QuantScheme& scheme, int64_t k, int64_t rows, int threads) {
  const GemmTraits traits = product_traits(scheme, kOutputSlice, k);
  const Kernel& kernel = choose_gemm(traits);
  const int64_t unpacked = kernel.scratch_bytes == nullptr ? 0 : kernel.scratch_bytes(traits);
  const bool fp8 = scheme.activations == ActivationType::afp8;
  const int64_t row = traits.a8 ? ceil_div(k, kCodePadding) * kCodePadding + int64_t{sizeof(float)}
                      : fp8     ? k * int64_t{sizeof(float)}
                                : 0;
  return rows * row + threads * unpacked;
}

// As a Workspace holds them, with the widest product's rows as codes and what its kernel unpacks.
int64_t scratch_bytes(const DecoderConfig& config, const QuantScheme& scheme, int64_t rows,
                      int threads) {
  int64_t sum = config.vocab_size * int64_t{sizeof(float)}, products = 0;
  for (const int64_t bytes : pass_size(config).bytes(rows, threads)) sum += bytes;
  for (int i = 0; i < config.layers; ++i) {
    const LayerPlan plan = layer_plan(config, i);
    for (const Site& site : plan.sites)
      products = std::max(products, product_bytes(scheme, site.inputs, rows, threads));
  }
  return sum + products;
}

int64_t counted_bytes(std::optional<int64_t> bytes) {
  if (bytes) return *bytes;
  throw invalid_argument(
      "a cache of such a context takes more bytes than 64 bits count: give a shorter `context` or "
      "fewer `layers`");
}

}  // namespace

Estimate estimate(const DecoderConfig& original, const QuantScheme& scheme,
                  const EstimateOptions& o) {
  const DecoderConfig config = as_quantized(original, scheme, o);
  Estimate out;
  out.scheme = scheme;
  int64_t of_experts = 0;  // all alike, of which a token reads a few
  for (const ParamSpec& p : parameter_table(config)) {
    const int64_t bytes = bytes_of(config, p, scheme, o);
    out.memory_bytes += bytes;
    if (read_for_each_token(config, p)) (p.expert < 0 ? out.weight_bytes : of_experts) += bytes;
  }
  if (config.experts > 0)
    out.weight_bytes += of_experts / config.experts * config.experts_per_token;
  const int64_t context = o.context > 0 ? o.context : config.context;
  out.kv_bytes = counted_bytes(KvCache::bytes(cache_shape(config), context, o.kv));
  out.scratch_bytes = scratch_bytes(config, scheme, std::min(o.prefill_chunk, context), o.threads);
  counted_bytes(checked_add(out.memory_bytes + out.scratch_bytes, out.kv_bytes));
  return out;
}

double parse_parameters(const std::string& text) {
  double value = 0;
  const char* const end = text.data() + text.size();
  const auto [at, code] = std::from_chars(text.data(), end, value);
  const std::string_view unit(at, static_cast<size_t>(end - at));
  const double factor = unit.empty()                 ? 1
                        : unit == "K" || unit == "k" ? 1e3
                        : unit == "M" || unit == "m" ? 1e6
                        : unit == "B" || unit == "b" ? 1e9
                        : unit == "T" || unit == "t" ? 1e12
                                                     : 0;
  value *= factor;
  if (code == std::errc() && value >= 1e3 && value <= 1e14) return value;
  throw invalid_argument(fmt::format(
      "`parameters` {}: expected a number of parameters from 1K to 100T, such as 7B or 124M",
      in_quotes(text)));
}

namespace {

// A shape is made of options: what is wrong is named by one of them, not by a key of a file that
// there is not.
void validate_options(const DecoderConfig& c) {
  constexpr std::pair<std::string_view, std::string_view> kOptions[] = {
      {"vocab_size", "`vocab`"},
      {"hidden_size", "`width`"},
      {"num_hidden_layers", "`layers`"},
      {"num_attention_heads", "`heads`"},
      {"num_key_value_heads", "`kv_heads`"},
      {"intermediate_size", "`intermediate`"},
      {"max_position_embeddings", "`context`"},
      {"head_dim", "`heads`"}};
  try {
    validate(c);
  } catch (const Error& e) {
    for (const auto& [key, option] : kOptions) {
      if (e.where() == fmt::format("key \"{}\"", key))
        throw invalid_argument(fmt::format("{} {}", option, e.reason()));
    }
    throw invalid_argument(e.what());
  }
}

}  // namespace

DecoderConfig llama_shape(const ShapeOptions& o) {
  if (o.parameters <= 0 && (o.layers <= 0 || o.width <= 0))
    throw invalid_argument("give `parameters`, or `layers` and `width`");
  DecoderConfig c;
  c.architecture = "llama";
  c.name_prefix = "model.";
  c.vocab_size = o.vocab > 0 ? o.vocab : 32'000;
  const auto vocab = static_cast<double>(c.vocab_size);
  if (o.width > 0) {
    c.hidden_size = o.width;
  } else if (o.layers > 0) {
    const double l = 12 * static_cast<double>(o.layers);
    c.hidden_size = rounded((std::sqrt(vocab * vocab + l * o.parameters) - vocab) / l, 64);
  } else {
    c.hidden_size = width_for(o.parameters, vocab);
  }
  const auto width = static_cast<double>(c.hidden_size);
  c.layers = o.layers > 0 ? o.layers : layers_for(o.parameters, width, vocab);
  c.heads =
      o.heads > 0 ? o.heads : std::max<int64_t>(c.hidden_size / (width >= 2560 ? 128 : 64), 1);
  if (c.hidden_size % c.heads != 0)
    throw invalid_argument(
        fmt::format("{} heads do not divide a width of {}", c.heads, c.hidden_size));
  c.head_dim = c.hidden_size / c.heads;
  c.kv_heads = o.kv_heads > 0 ? o.kv_heads : c.heads;
  c.intermediate_size =
      o.intermediate > 0 ? o.intermediate : rounded(width * 8 / 3, width >= 1024 ? 256 : 64);
  c.context = o.context > 0 ? o.context : 4096;
  c.norm_gain = c.final_norm = true;
  c.position = PositionKind::rotary;
  c.mlp = MlpKind::silu_gated;
  validate_options(c);
  return c;
}

}  // namespace nibble
