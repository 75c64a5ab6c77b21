// The GEMM layout of AWQ, as AutoAWQ and auto-round write it (AutoAWQ awq/modules/linear/gemm.py,
// read 2026-08; docs/formats/awq.md): X.qweight i32 [k, n / 8] and X.qzeros i32 [groups, n / 8],
// eight outputs a word in an order of its own; X.scales [groups, n]. Four bits.
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "nibble/core/checked.h"
#include "nibble/core/error.h"
#include "nibble/core/transpose.h"
#include "nibble/format/layout_parts.h"
#include "nibble/format/packed_int32.h"
#include "nibble/format/weight_layout.h"
#include "nibble/quant/number.h"

namespace nibble::awq {
namespace {

constexpr int kBits = 4;
constexpr int64_t kTogether = 8;  // outputs in a word
// Which nibble of a word is its output 0, 1, ...
constexpr int kNibbleOf[kTogether] = {0, 4, 1, 5, 2, 6, 3, 7};
constexpr int64_t kSmallestGroup = 16;
constexpr char kPrefix[] = "quantization_config.";

constexpr KnownKey kTopKeys[] = {
    {"quant_method"},
    {"bits"},
    {"group_size"},
    {"zero_point"},
    {"sym"},
    {"version"},
    {"modules_to_not_convert"},
    {"lm_head"},
    // How other programs run it.
    {"backend"},
    {"do_fuse"},
    {"fuse_max_seq_len"},
    {"modules_to_fuse"},
    {"exllama_config"},
};

uint8_t field(int32_t word, int64_t output) {
  return static_cast<uint8_t>(static_cast<uint32_t>(word) >> (4 * kNibbleOf[output]) & 15u);
}

struct Facts {
  int64_t n = 0, k = 0, groups = 0;
};

Facts facts_of(const TensorSource& source, const std::string& x) {
  const Shape words = packed_int32::require_words(source, x + ".qweight").shape();
  const Shape scales = require_tensor(source, x + ".scales").shape();
  const auto n = checked_mul(words[1], kTogether);
  NIBBLE_CHECK(n.has_value());  // as many bytes exist
  return {*n, words[0], scales.rank() == 2 ? scales[0] : 0};
}

// Words [rows, n / 8] with the rows behind each other, as codes [n, rows]: one bit stream an
// output.
Tensor read_codes(const Tensor& words) {
  const int64_t k = words.shape()[0], columns = words.shape()[1],
                stride = packed_row_bytes(k, kBits);
  const Tensor turned = transpose(words);
  Tensor out(DType::u8, Shape{columns * kTogether, stride});
  std::vector<uint8_t> codes(static_cast<size_t>(k));
  for (int64_t c = 0; c < columns; ++c) {
    const auto row = turned.data<int32_t>().subspan(static_cast<size_t>(c * k), codes.size());
    for (int64_t o = 0; o < kTogether; ++o) {
      for (size_t i = 0; i < codes.size(); ++i) codes[i] = field(row[i], o);
      pack_codes(
          codes, kBits,
          out.mutable_data<uint8_t>().subspan(static_cast<size_t>((c * kTogether + o) * stride),
                                              static_cast<size_t>(stride)));
    }
  }
  return out;
}

Tensor read_zeros(const TensorSource& source, const std::string& name, const Facts& f) {
  const int64_t columns = f.n / kTogether;
  const Tensor words = require_tensor(source, name, DType::i32, Shape{f.groups, columns});
  Tensor out(DType::u8, Shape{f.n, f.groups});
  for (int64_t g = 0; g < f.groups; ++g) {
    for (int64_t r = 0; r < f.n; ++r) {
      const int32_t word = words.data<int32_t>()[static_cast<size_t>(g * columns + r / kTogether)];
      out.mutable_data<uint8_t>()[static_cast<size_t>(r * f.groups + g)] =
          field(word, r % kTogether);
    }
  }
  return out;
}

QuantizedTensor from_tensors(const TensorSource& source, const std::string& x,
                             const QuantScheme& scheme, const LayoutInUse& /*use*/) {
  const Facts f = facts_of(source, x);
  QuantizedTensor q;
  q.scheme = scheme;
  q.shape = Shape{f.n, f.k};
  q.codes = read_codes(packed_int32::require_words(source, x + ".qweight"));
  q.scales = packed_int32::require_turned_scales(source, x + ".scales", f.groups, f.n);
  packed_int32::take_zeros(read_zeros(source, x + ".qzeros", f), x + ".qzeros", q);
  return validated(std::move(q), x + ".qweight");
}

std::vector<std::string> stored_names(const TensorSource& /*source*/, const std::string& x,
                                      const QuantScheme& /*scheme*/) {
  return {x + ".qweight", x + ".qzeros", x + ".scales"};
}

// --- writing ---

bool can_hold(const QuantScheme& s) {
  return s.is_integer() && s.bits() == kBits && s.granularity == Granularity::group &&
         s.group >= kSmallestGroup && s.activations == ActivationType::none;
}

bool can_say(const SchemeMap& schemes) {
  const auto like_first = [&](const auto& entry) {
    return can_hold(entry.second) && entry.second == schemes.begin()->second;
  };
  return !schemes.empty() && std::all_of(schemes.begin(), schemes.end(), like_first);
}

std::string misfit(const QuantScheme& scheme, const Shape& shape) {
  if (shape[0] % kTogether != 0)
    return fmt::format("awq packs outputs by {}, and this matrix has {}", kTogether, shape[0]);
  if (shape[1] % scheme.group == 0) return "";
  return fmt::format("awq has whole groups, and {} inputs are none of {}", shape[1], scheme.group);
}

// Fields [n, columns] as words [columns, n / 8].
class WordsOfOutputs {
 public:
  WordsOfOutputs(int64_t n, int64_t columns)
      : words_(DType::i32, Shape{columns, n / kTogether}), at_(words_.mutable_data<int32_t>()) {}
  void put(int64_t output, std::span<const uint8_t> fields) {
    const auto column = static_cast<size_t>(output / kTogether),
               width = static_cast<size_t>(words_.shape()[1]);
    const int shift = 4 * kNibbleOf[output % kTogether];
    for (size_t i = 0; i < fields.size(); ++i)
      at_[i * width + column] |= static_cast<int32_t>(static_cast<uint32_t>(fields[i]) << shift);
  }
  Tensor take() { return std::move(words_); }

 private:
  Tensor words_;
  std::span<int32_t> at_;
};

Tensor written_codes(const QuantizedTensor& q) {
  const auto stride = static_cast<size_t>(q.codes.shape()[1]);
  std::vector<uint8_t> codes(static_cast<size_t>(q.k()));
  WordsOfOutputs out(q.n(), q.k());
  for (int64_t r = 0; r < q.n(); ++r) {
    unpack_codes(q.codes.data<uint8_t>().subspan(static_cast<size_t>(r) * stride, stride), kBits,
                 codes);
    out.put(r, codes);
  }
  return out.take();
}

Tensor written_zeros(const Tensor& zeros) {
  const auto groups = static_cast<size_t>(zeros.shape()[1]);
  WordsOfOutputs out(zeros.shape()[0], zeros.shape()[1]);
  for (int64_t r = 0; r < zeros.shape()[0]; ++r)
    out.put(r, zeros.data<uint8_t>().subspan(static_cast<size_t>(r) * groups, groups));
  return out.take();
}

std::vector<NamedTensor> to_tensors(const std::string& x, const QuantizedTensor& q) {
  NIBBLE_CHECK(!q.input_order);
  return {{x + ".qweight", written_codes(q)},
          {x + ".qzeros", written_zeros(packed_int32::zeros_or_middle(q))},
          {x + ".scales", transpose(q.scales)}};
}

std::vector<TensorInfo> infos(const std::string& x, const QuantScheme& scheme, const Shape& shape,
                              DType scale_dtype) {
  const int64_t words = shape[0] / kTogether, groups = shape[1] / scheme.group;
  return {{x + ".qweight", DType::i32, Shape{shape[1], words}},
          {x + ".qzeros", DType::i32, Shape{groups, words}},
          {x + ".scales", stored_scale_dtype(scheme, scale_dtype), Shape{groups, shape[0]}}};
}

// Loaders look for zero points whatever is said of them: symmetric weights have 8 everywhere.
void write_config(const SchemeMap& schemes, const std::vector<std::string>& plain,
                  JsonWriter& out) {
  const QuantScheme& scheme = schemes.begin()->second;
  out.begin_object().field("quant_method", "awq").field("version", "gemm").field("bits", kBits);
  out.field("group_size", scheme.group).field("zero_point", scheme.asymmetric);
  out.array("modules_to_not_convert", plain).end_object();
}

// --- config ---

void check_keys(const JsonFields& f) {
  packed_int32::require_keys(f, kTopKeys);
  const std::string bits = std::string(kPrefix) + "bits",
                    version = std::string(kPrefix) + "version";
  if (f.integer(bits) != kBits) {
    throw unsupported(fmt::format("is {}, which nibble does not read; 4 can be", f.integer(bits)))
        .at("key " + in_quotes(bits));
  }
  const std::string order = f.string_or(version, "gemm");
  if (order == "gemm" || order == "GEMM") return;
  throw unsupported(fmt::format("is {}, which nibble does not read; gemm can be", in_quotes(order)))
      .at("key " + in_quotes(version));
}

StoredModules read_config(const JsonFields& f, std::span<const MatrixModule> modules,
                          const TensorSource& tensors) {
  check_keys(f);
  const int64_t group = f.integer(std::string(kPrefix) + "group_size");
  const bool symmetric = !f.boolean_or(std::string(kPrefix) + "zero_point", true);
  const bool modules_differ = !is_empty(f, std::string(kPrefix) + "extra_config");
  StoredModules out;
  for (const std::string& x : packed_int32::packed_modules(modules, tensors)) {
    const Facts facts = facts_of(tensors, x);
    out.schemes.emplace(x, packed_int32::scheme_of(kBits, group, facts.groups, facts.k, !symmetric,
                                                   modules_differ, x + ".scales"));
  }
  return out;
}

}  // namespace

const WeightLayout& weight_layout() {
  static const WeightLayout kLayout = {.holds_what = "int4:gN, with :asym or without",
                                       .holds = can_hold,
                                       .can_hold = can_hold,
                                       .can_say = can_say,
                                       .misfit = misfit,
                                       .usual_scheme = "int4:g128:asym",
                                       .to_tensors = to_tensors,
                                       .infos = infos,
                                       .from_tensors = from_tensors,
                                       .stored_names = stored_names,
                                       .write_config = write_config,
                                       .read_config = read_config};
  return kLayout;
}

}  // namespace nibble::awq
