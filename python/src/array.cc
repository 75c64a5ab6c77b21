#include "nibble/api/array.h"

#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>

#include <span>

#include "arrays.h"
#include "model.h"
#include "watch.h"

namespace nibble::python {
namespace {

using Matrix = nb::ndarray<const float, nb::ndim<2>, nb::c_contig, nb::device::cpu>;

std::span<const float> values_of(const Matrix& m) { return {m.data(), m.size()}; }

using Parts = nb::typed<nb::dict, nb::str, nb::any>;

Parts as_dict(api::QuantizedArray q) {
  const std::vector<int64_t> shape = {q.rows, q.columns};
  const auto groups = static_cast<int64_t>(q.scales.size()) / q.rows;
  const std::vector<int64_t> scales =
      groups > 0 ? std::vector<int64_t>{q.rows, groups} : std::vector<int64_t>{1, 1};
  Parts out;
  out["scheme"] = q.scheme;
  out["codes"] = to_numpy(std::move(q.codes), shape);
  out["scales"] = to_numpy(std::move(q.scales), scales);
  out["zeros"] = q.zeros ? nb::cast(to_numpy(std::move(*q.zeros), scales)) : nb::none();
  out["offsets"] = q.offsets ? nb::cast(to_numpy(std::move(*q.offsets), scales)) : nb::none();
  out["values"] = to_numpy(std::move(q.values), shape);
  out["bits_per_weight"] = q.bits_per_weight;
  out["error"] = q.error ? nb::cast(*q.error) : nb::none();
  out["note"] = q.note;
  return out;
}

Parts quantize_array(const Matrix& w, const std::string& scheme,
                     const std::optional<Matrix>& hessian, const std::string& method,
                     const std::string& scale_dtype, int threads) {
  Watch watch;
  api::ArrayOptions options{method, scale_dtype, {}};
  if (hessian) options.hessian = values_of(*hessian);
  api::QuantizedArray out;
  watch.run([&] {
    out = api::quantize_array(values_of(w), static_cast<int64_t>(w.shape(0)),
                              static_cast<int64_t>(w.shape(1)), scheme, options,
                              watch.control(threads));
  });
  return as_dict(std::move(out));
}

}  // namespace

void bind_array(nb::module_& m) {
  m.def("quantize_array", quantize_array, nb::arg("w"), nb::arg("scheme"),
        nb::arg("hessian").none(), nb::arg("method"), nb::arg("scale_dtype"), nb::arg("threads"));
}

}  // namespace nibble::python
