#include "nibble/model/changed_weights.h"

#include <utility>

#include "nibble/core/float_formats.h"

namespace nibble {
namespace {

class ChangedWeights : public WeightSource {
 public:
  ChangedWeights(std::shared_ptr<const WeightSource> base, WeightChanges changes)
      : base_(std::move(base)), changes_(std::move(changes)) {}

  Weight get(std::string_view name) const override {
    Weight stored = base_->get(original(name));
    const auto change = changes_.changes.find(name);
    if (change == changes_.changes.end()) return stored;
    const Tensor& plain = stored.plain();
    Tensor out = plain.dtype() == DType::f32 ? plain.clone() : convert(plain, DType::f32);
    for (const WeightChange& f : change->second) f(out.shape(), out.mutable_data<float>());
    return out;
  }
  StoredAs stored_as(std::string_view name) const override {
    if (changes_.changes.contains(name)) return {};
    return base_->stored_as(original(name));
  }
  void release(std::string_view name) const override { base_->release(original(name)); }
  int64_t file_bytes() const override { return base_->file_bytes(); }

 private:
  std::string_view original(std::string_view name) const {
    const auto copy = changes_.copies.find(name);
    return copy == changes_.copies.end() ? name : std::string_view(copy->second);
  }
  std::shared_ptr<const WeightSource> base_;
  WeightChanges changes_;
};

}  // namespace

std::shared_ptr<const WeightSource> change_weights(std::shared_ptr<const WeightSource> base,
                                                   WeightChanges changes) {
  return std::make_shared<ChangedWeights>(std::move(base), std::move(changes));
}

}  // namespace nibble
