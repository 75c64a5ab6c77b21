#include "nibble/model/written_tensors.h"

#include <algorithm>
#include <cstring>
#include <map>
#include <memory>
#include <set>
#include <tuple>
#include <utility>

#include "nibble/core/error.h"
#include "nibble/model/stored_weights.h"

namespace nibble {
namespace {

// The tensors that one parameter becomes. The first of them to be written makes them all; each is
// let go as it is written.
std::vector<LazyTensor> tensors_of(const WritableParameter& p, const WeightLayout* layout) {
  if (!p.scheme) {
    return {{{p.spec.name, p.dtype, stored_shape(p.spec)},
             [make = p.make, spec = p.spec, dtype = p.dtype] {
               return as_stored(spec, make().plain(), dtype);
             }}};
  }
  const auto made = std::make_shared<std::map<std::string, Tensor, std::less<>>>();
  std::vector<LazyTensor> out;
  for (TensorInfo& info : tensor_layout(p.spec.name, *p.scheme, p.spec.shape, p.dtype, layout)) {
    out.push_back({info, [made, make = p.make, spec = p.spec, name = info.name, layout] {
                     if (made->empty()) {
                       for (NamedTensor& t : to_tensors(spec.name, make().quantized(), layout)) {
                         made->emplace(t.name, std::move(t.tensor));
                       }
                     }
                     const auto found = made->find(name);
                     NIBBLE_CHECK(found != made->end());
                     Tensor tensor = std::move(found->second);
                     made->erase(found);
                     return tensor;
                   }});
  }
  return out;
}

// The parameters of one layer that are one tensor, expert by expert: down, or gate and up.
using ExpertParameters = std::vector<WritableParameter>;

int64_t parts_of(const ParamSpec& spec) { return spec.role == Role::down ? 1 : 2; }

// "X.experts.gate_up_proj_bias" of "X.experts.0.gate_proj.bias".
std::string stack_name(const ParamSpec& spec) {
  const std::string inside = ".experts.";
  const size_t end = spec.name.find(inside);
  NIBBLE_CHECK(end != std::string::npos);
  if (spec.stacking == Stacking::linears)
    return spec.name.substr(0, end) +
           (spec.role == Role::down ? ".output_linear.weight" : ".input_linear.weight");
  return spec.name.substr(0, end + inside.size()) +
         (spec.role == Role::down ? "down_proj" : "gate_up_proj") + (spec.bias ? "_bias" : "");
}

Shape stack_shape(const ExpertParameters& of) {
  const ParamSpec& spec = of.front().spec;
  const int64_t parts = parts_of(spec), experts = std::ssize(of) / parts,
                rows = spec.shape[0] * parts;
  if (spec.bias) return {experts, rows};
  return spec.stacking == Stacking::turned ? Shape{experts, spec.shape[1], rows}
                                           : Shape{experts, rows, spec.shape[1]};
}

// Puts one expert's rows where the stack has them (renamed_tensors.h).
void put(const WritableParameter& p, int64_t rows, Tensor& stack) {
  const Tensor t = as_stored(p.spec, p.make().plain(), p.dtype);
  NIBBLE_CHECK(t.dtype() == stack.dtype() && t.shape() == p.spec.shape);
  const auto element = static_cast<size_t>(size_of(t.dtype()));
  const int64_t n = p.spec.shape[0], k = p.spec.bias ? 1 : p.spec.shape[1];
  const int64_t parts = parts_of(p.spec), part = p.spec.role == Role::up ? 1 : 0;
  const bool in_turn = p.spec.stacking == Stacking::turned, turned = in_turn && !p.spec.bias;
  std::byte* const to =
      stack.mutable_raw() + static_cast<size_t>(p.spec.expert * rows * k) * element;
  for (int64_t r = 0; r < n; ++r) {
    const int64_t row = in_turn ? parts * r + part : part * n + r;
    const std::byte* from = t.raw() + static_cast<size_t>(r * k) * element;
    if (!turned) {
      std::memcpy(to + static_cast<size_t>(row * k) * element, from,
                  static_cast<size_t>(k) * element);
      continue;
    }
    for (int64_t c = 0; c < k; ++c, from += element)
      std::memcpy(to + static_cast<size_t>(c * rows + row) * element, from, element);
  }
}

LazyTensor stacked(ExpertParameters of) {
  const TensorInfo info{stack_name(of.front().spec), of.front().dtype, stack_shape(of)};
  return {info, [of = std::move(of), info] {
            const int64_t rows = of.front().spec.shape[0] * parts_of(of.front().spec);
            Tensor out(info.dtype, info.shape);
            for (const WritableParameter& p : of) put(p, rows, out);
            return out;
          }};
}

// Stacks by layer, whether they are down's, and whether they are biases.
using StackKey = std::tuple<int, bool, bool>;
StackKey key_of_stack(const ParamSpec& spec) {
  return {spec.layer, spec.role == Role::down, spec.bias};
}

// Whether all of a layer's experts are plain, and one type.
bool is_one_tensor(const ExpertParameters& of, const std::set<int>& quantized) {
  const WritableParameter& first = of.front();
  return !quantized.contains(first.spec.layer) &&
         std::all_of(of.begin(), of.end(),
                     [&](const WritableParameter& p) { return p.dtype == first.dtype; });
}

}  // namespace

std::vector<LazyTensor> written_tensors(const std::vector<WritableParameter>& parameters,
                                        const WeightLayout* layout) {
  std::map<StackKey, ExpertParameters> stacks;
  std::set<int> quantized;  // layers
  for (const WritableParameter& p : parameters) {
    if (p.spec.stacking == Stacking::none) continue;
    stacks[key_of_stack(p.spec)].push_back(p);
    if (p.scheme) quantized.insert(p.spec.layer);
  }
  std::erase_if(stacks, [&](const auto& entry) { return !is_one_tensor(entry.second, quantized); });
  std::vector<LazyTensor> out;
  for (const WritableParameter& p : parameters) {
    const auto found =
        p.spec.stacking == Stacking::none ? stacks.end() : stacks.find(key_of_stack(p.spec));
    if (found == stacks.end()) {
      for (LazyTensor& t : tensors_of(p, layout)) out.push_back(std::move(t));
    } else if (!found->second.empty()) {
      out.push_back(stacked(std::exchange(found->second, {})));
    }
  }
  return out;
}

}  // namespace nibble
