// Reading the layout of GPTQ (gptq.h).
#include "nibble/format/gptq.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "nibble/core/checked.h"
#include "nibble/core/error.h"
#include "nibble/core/transpose.h"
#include "nibble/format/group_order.h"
#include "nibble/format/layout_parts.h"
#include "nibble/format/packed_int32.h"

namespace nibble::gptq {
namespace {

constexpr char kPrefix[] = "quantization_config.";

// Most say how the numbers were found, or how another program is to run them; which modules are
// quantized, with how many bits and in which groups, stands in the tensors.
constexpr KnownKey kTopKeys[] = {
    {"quant_method"},
    {"method"},
    {"bits"},
    {"group_size"},
    {"sym"},
    {"desc_act"},
    {"checkpoint_format"},
    {"format"},
    {"pack_dtype"},
    {"is_marlin_format"},
    {"dynamic"},
    {"lm_head"},
    {"modules_to_not_convert"},
    {"modules_in_block_to_quantize"},
    {"block_name_to_quantize"},
    {"module_name_preceding_first_block"},
    {"damp_percent"},
    {"damp_auto_increment"},
    {"true_sequential"},
    {"static_groups"},
    {"act_group_aware"},
    {"mse"},
    {"meta"},
    {"quantizer"},
    {"dataset"},
    {"tokenizer"},
    {"model_name_or_path"},
    {"model_file_base_name"},
    {"model_seqlen"},
    {"pad_token_id"},
    {"cache_block_outputs"},
    {"use_cuda_fp16"},
    {"use_exllama"},
    {"disable_exllama"},
    {"exllama_config"},
    {"max_input_length"},
    {"backend"},
    {"adapter", "what a layer gives (an adapter)"},
    {"rotation", "what a layer reads (rotated inputs)"},
};

// What the tensors of a weight say.
struct Facts {
  int bits = 0;
  int64_t n = 0, k = 0, groups = 0;
};

Facts facts_of(const TensorSource& source, const std::string& x, int bits) {
  const Shape words = packed_int32::require_words(source, x + ".qweight").shape();
  const Shape scales = require_tensor(source, x + ".scales").shape();
  Facts out{bits, words[1], words[0] * 32 / bits, scales.rank() == 2 ? scales[0] : 0};
  if (!source.contains(x + ".g_idx")) return out;
  out.k = require_tensor(source, x + ".g_idx").elements();
  // Of few inputs several widths take as many words: the config's is then meant.
  const auto fits = [&](int b) { return ceil_div(out.k * b, int64_t{32}) == words[0]; };
  const int* other = std::find_if(std::begin(kBits), std::end(kBits), fits);
  if (!fits(bits) && other != std::end(kBits)) out.bits = *other;
  return out;
}

// Fields [groups, ceil(n * bits / 32)] as zero points [n, groups]; `more` is what version 1 stores
// them less by, modulo 2^bits.
Tensor read_zeros(const TensorSource& source, const std::string& name, const Facts& f, int more) {
  const int64_t stride = packed_row_bytes(f.n, f.bits);
  const Tensor fields = require_tensor(source, name, DType::i32, Shape{f.groups, stride / 4});
  const auto bytes = seen_as(fields, DType::u8, Shape{f.groups, stride});
  Tensor out(DType::u8, Shape{f.n, f.groups});
  std::vector<uint8_t> row(static_cast<size_t>(f.n));
  for (int64_t g = 0; g < f.groups; ++g) {
    unpack_codes(
        bytes.data<uint8_t>().subspan(static_cast<size_t>(g * stride), static_cast<size_t>(stride)),
        f.bits, row);
    for (int64_t r = 0; r < f.n; ++r) {
      out.mutable_data<uint8_t>()[static_cast<size_t>(r * f.groups + g)] =
          static_cast<uint8_t>((row[static_cast<size_t>(r)] + more) & ((1 << f.bits) - 1));
    }
  }
  return out;
}

QuantizedTensor read(const TensorSource& source, const std::string& x, const QuantScheme& scheme,
                     int more) {
  const Facts f = facts_of(source, x, scheme.bits());
  QuantizedTensor q;
  q.scheme = scheme;
  q.shape = Shape{f.n, f.k};
  const Tensor words = transpose(packed_int32::require_words(source, x + ".qweight"));
  q.codes = seen_as(words, DType::u8, Shape{f.n, words.shape()[1] * 4});
  q.scales = packed_int32::require_turned_scales(source, x + ".scales", f.groups, f.n);
  packed_int32::take_zeros(read_zeros(source, x + ".qzeros", f, more), x + ".qzeros", q);
  try {
    if (source.contains(x + ".g_idx")) put_in_order(source, x + ".g_idx", q);
    validate(q);
  } catch (Error& e) {
    throw std::move(e).at("tensor " + in_quotes(x + ".qweight"));
  }
  return q;
}

QuantizedTensor from_version_1(const TensorSource& source, const std::string& x,
                               const QuantScheme& scheme, const LayoutInUse& /*use*/) {
  return read(source, x, scheme, 1);
}

QuantizedTensor from_version_2(const TensorSource& source, const std::string& x,
                               const QuantScheme& scheme, const LayoutInUse& /*use*/) {
  return read(source, x, scheme, 0);
}

std::vector<std::string> stored_names(const TensorSource& source, const std::string& x,
                                      const QuantScheme& /*scheme*/) {
  std::vector<std::string> out{x + ".qweight", x + ".qzeros", x + ".scales"};
  if (source.contains(x + ".g_idx")) out.push_back(x + ".g_idx");
  return out;
}

// A value that must be `wanted` where it stands at all.
void require_value(const JsonFields& f, const std::string& key, std::string_view wanted) {
  const std::string found = f.string_or(kPrefix + key, std::string(wanted));
  if (found == wanted) return;
  throw unsupported(fmt::format("is {}, which nibble does not read; {} can be", in_quotes(found),
                                in_quotes(wanted)))
      .at("key " + in_quotes(kPrefix + key));
}

bool is_version_2(const JsonFields& f) {
  const std::string newer = std::string(kPrefix) + "format",
                    key = kPrefix + std::string("checkpoint_format");
  const std::string format = f.string_or(key, f.string_or(newer, "gptq"));
  if (format == "gptq" || format == "gptq_v2") return format == "gptq_v2";
  throw unsupported(
      fmt::format("is {}, which nibble does not read; gptq and gptq_v2 can be", in_quotes(format)))
      .at("key " + in_quotes(f.contains(key) ? key : newer));
}

int bits_of(const JsonFields& f) {
  const std::string key = std::string(kPrefix) + "bits";
  const int64_t bits = f.integer(key);
  if (std::find(std::begin(kBits), std::end(kBits), bits) != std::end(kBits))
    return static_cast<int>(bits);
  throw unsupported(fmt::format("is {}, which nibble does not read; 2, 3, 4 and 8 can be", bits))
      .at("key " + in_quotes(key));
}

void check_keys(const JsonFields& f) {
  packed_int32::require_keys(f, kTopKeys);
  require_value(f, "method", "gptq");
  require_value(f, "pack_dtype", "int32");
  if (!f.boolean_or(std::string(kPrefix) + "is_marlin_format", false)) return;
  throw unsupported("weights in the order of the Marlin kernels are not read: save them as gptq")
      .at("key " + in_quotes(std::string(kPrefix) + "is_marlin_format"));
}

QuantScheme scheme_of(const TensorSource& source, const std::string& x, int bits, int64_t group,
                      bool symmetric, bool modules_differ) {
  const Facts facts = facts_of(source, x, bits);
  if (facts.bits != bits && !modules_differ) {
    throw corrupt(
        fmt::format("holds {} bits a weight, but quantization_config says {}", facts.bits, bits))
        .at("tensor " + in_quotes(x + ".qweight"));
  }
  return packed_int32::scheme_of(facts.bits, group, facts.groups, facts.k, !symmetric,
                                 modules_differ, x + ".scales");
}

const WeightLayout& version_2() {
  static const WeightLayout kLayout = {.from_tensors = from_version_2,
                                       .stored_names = stored_names};
  return kLayout;
}

StoredModules read_config(const JsonFields& f, std::span<const MatrixModule> modules,
                          const TensorSource& tensors) {
  check_keys(f);
  const int bits = bits_of(f);
  const int64_t group = f.integer(std::string(kPrefix) + "group_size");
  const bool symmetric = f.boolean_or(std::string(kPrefix) + "sym", true);
  const bool modules_differ = !is_empty(f, std::string(kPrefix) + "dynamic") ||
                              !is_empty(f, std::string(kPrefix) + "extra_config");
  StoredModules out;
  if (is_version_2(f)) out.layout.layout = &version_2();
  for (const std::string& x : packed_int32::packed_modules(modules, tensors))
    out.schemes.emplace(x, scheme_of(tensors, x, bits, group, symmetric, modules_differ));
  return out;
}

}  // namespace

const WeightLayout& weight_layout() {
  static const WeightLayout kLayout = {
      .holds_what = "int2, int3, int4 and int8 with :channel or :gN and :asym",
      .holds = can_hold,
      .can_hold = can_hold,
      .can_say = can_say,
      .misfit = misfit,
      .usual_scheme = "int4:g128",
      .other_file = "quantize_config.json",
      .conv1d = true,
      .to_tensors = to_tensors,
      .infos = infos,
      .from_tensors = from_version_1,
      .stored_names = stored_names,
      .write_config = write_config,
      .read_config = read_config};
  return kLayout;
}

}  // namespace nibble::gptq
