#include "nibble/api/array.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "nibble/api/within.h"
#include "nibble/core/finite.h"
#include "nibble/quant/bits.h"
#include "nibble/quant/method.h"
#include "nibble/quant/scheme.h"

namespace nibble::api {
namespace {

constexpr int64_t kMost = int64_t{1} << 31;  // rows, columns

void check_sizes(std::span<const float> w, int64_t rows, int64_t columns,
                 std::span<const float> hessian) {
  if (rows < 1 || columns < 1 || rows > kMost || columns > kMost || std::ssize(w) != rows * columns)
    throw nibble::invalid_argument(
        fmt::format("a matrix of [{}, {}] does not have {} values", rows, columns, w.size()));
  if (!hessian.empty() && std::ssize(hessian) != columns * columns)
    throw nibble::invalid_argument(fmt::format("hessian: expected [{}, {}], found {} values",
                                               columns, columns, hessian.size()));
}

// What a Hessian says of the inputs.
InputStatistics statistics_of(std::span<const float> hessian, int64_t k) {
  InputStatistics out;
  out.k = k;
  out.rows = k;  // as many as say something of every column
  out.hessian.assign(hessian.begin(), hessian.end());
  if (!all_finite(out.hessian)) throw nibble::corrupt("hessian holds NaN or infinity");
  for (int64_t i = 0; i < k; ++i) {
    const double square = out.hessian[static_cast<size_t>(i * k + i)];
    if (square < 0) throw nibble::invalid_argument("hessian has a negative diagonal");
    out.mean_square.push_back(square);
    out.absmax.push_back(static_cast<float>(std::sqrt(square)));
  }
  return out;
}

const Method& method_of(const ArrayOptions& o) {
  const Method& out = nibble::method(!o.method.empty()   ? o.method
                                     : o.hessian.empty() ? "rtn"
                                                         : "gptq");
  if (out.needs == Calibration::fisher)
    throw nibble::invalid_argument(
        fmt::format("`method` {}: needs the gradients of a model; use gptq", out.name));
  if (out.needs != Calibration::nothing && o.hessian.empty())
    throw nibble::invalid_argument(fmt::format("`method` {}: needs a hessian", out.name));
  return out;
}

std::vector<uint8_t> all_codes(const QuantizedTensor& q) {
  const auto n = static_cast<size_t>(q.n()), k = static_cast<size_t>(q.k());
  std::vector<uint8_t> out(n * k);
  const auto packed = q.codes.data<uint8_t>();
  const size_t row = packed.size() / n;
  for (size_t r = 0; r < n; ++r)
    unpack_codes(packed.subspan(r * row, row), q.scheme.bits(), std::span(out).subspan(r * k, k));
  return out;
}

QuantizedArray taken_apart(const WeightResult& r, int threads) {
  const QuantizedTensor& q = r.weight;
  QuantizedArray out;
  out.scheme = nibble::to_string(q.scheme);
  out.rows = q.n();
  out.columns = q.k();
  out.codes = all_codes(q);
  for (int64_t i = 0; i < q.scales.elements(); ++i) out.scales.push_back(q.scale(i));
  if (q.zeros) {
    const auto zeros = q.zeros->data<uint8_t>();
    out.zeros.emplace(zeros.begin(), zeros.end());
  }
  if (q.offsets) out.offsets.emplace();
  for (int64_t i = 0; q.offsets && i < q.offsets->elements(); ++i)
    out.offsets->push_back(q.offset(i));
  const Tensor values = dequantize(q, threads);
  out.values.assign(values.data<float>().begin(), values.data<float>().end());
  out.bits_per_weight = bits_per_weight(q);
  if (r.error >= 0) out.error = r.error;
  out.note = r.note;
  return out;
}

}  // namespace

QuantizedArray quantize_array(std::span<const float> w, int64_t rows, int64_t columns,
                              std::string_view scheme, const ArrayOptions& options,
                              const Control& control) {
  return within([&] {
    check_sizes(w, rows, columns, options.hessian);
    const QuantScheme parsed = parse_scheme(scheme);
    if (parsed.is_float())
      throw nibble::invalid_argument(
          fmt::format("scheme {}: a plain float is no quantized one", in_quotes(scheme)));
    const Method& method = method_of(options);
    MethodOptions tuning;
    const auto dtype = parse_dtype(options.scale_dtype);
    if (dtype != DType::f16 && dtype != DType::bf16 && dtype != DType::f32)
      throw nibble::invalid_argument("`scale_dtype`: use f16, bf16 or f32");
    tuning.scale_dtype = *dtype;
    const Tensor weight = Tensor::from<float>({rows, columns}, w);
    InputStatistics input;
    if (!options.hessian.empty()) input = statistics_of(options.hessian, columns);
    const int threads = exec_of(control).threads;
    return taken_apart(method.quantize({weight, parsed, tuning, "array",
                                        options.hessian.empty() ? nullptr : &input, threads}),
                       threads);
  });
}

}  // namespace nibble::api
