#include "nibble/compress/weight_parts.h"

#include "nibble/core/error.h"

namespace nibble {
namespace {

struct OptionalPart {
  std::string_view name;
  std::optional<Tensor> QuantizedTensor::*tensor;
};
constexpr OptionalPart kParts[] = {
    {".offsets", &QuantizedTensor::offsets},
    {".zeros", &QuantizedTensor::zeros},
    {".super_scales", &QuantizedTensor::super_scales},
    {".super_offsets", &QuantizedTensor::super_offsets},
    {".input_order", &QuantizedTensor::input_order},
    {".activation", &QuantizedTensor::activation},
};

}  // namespace

std::vector<NamedTensor> parts_of(const std::string& name, const QuantizedTensor& q) {
  const int64_t shape[] = {q.n(), q.k()};
  std::vector<NamedTensor> out{{name + ".shape", Tensor::from<int64_t>(Shape{2}, shape)},
                               {name + ".codes", q.codes},
                               {name + ".scales", q.scales}};
  for (const OptionalPart& p : kParts) {
    if (const auto& tensor = q.*p.tensor) out.push_back({name + std::string(p.name), *tensor});
  }
  return out;
}

QuantizedTensor from_parts(const TensorSource& source, const std::string& name,
                           const QuantScheme& scheme) {
  QuantizedTensor q;
  q.scheme = scheme;
  const Tensor shape = source.get(name + ".shape");
  if (shape.dtype() != DType::i64 || shape.elements() != 2)
    throw corrupt("expected a shape of two extents").at("tensor " + in_quotes(name));
  q.shape = Shape{shape.data<int64_t>()[0], shape.data<int64_t>()[1]};
  q.codes = source.get(name + ".codes");
  q.scales = source.get(name + ".scales");
  for (const OptionalPart& p : kParts) {
    const std::string part = name + std::string(p.name);
    if (source.contains(part)) q.*p.tensor = source.get(part);
  }
  try {
    validate(q);
  } catch (Error& e) {
    throw std::move(e).at("tensor " + in_quotes(name));
  }
  return q;
}

}  // namespace nibble
