#include "nibble/model/changed_source.h"

#include <utility>

#include "nibble/core/error.h"
#include "nibble/core/float_formats.h"

namespace nibble {
namespace {

class ChangedSource : public TensorSource {
 public:
  ChangedSource(std::shared_ptr<const TensorSource> base, TensorChanges changes)
      : base_(std::move(base)), changes_(std::move(changes)), infos_(base_->list()) {
    std::map<std::string, TensorInfo, std::less<>> by_name;
    for (const TensorInfo& info : infos_) by_name.emplace(info.name, info);
    for (const auto& [name, from] : changes_.copies) {
      TensorInfo copy = by_name.at(from);
      copy.name = name;
      infos_.push_back(std::move(copy));
    }
    for (TensorInfo& info : infos_) {
      if (changes_.changes.contains(info.name)) info.dtype = DType::f32;
    }
    for (const auto& [name, list] : changes_.changes) {
      if (!contains(name))
        throw not_found("there is no such tensor").at("tensor " + in_quotes(name));
    }
  }

  const std::vector<TensorInfo>& list() const override { return infos_; }
  bool contains(std::string_view name) const override {
    return base_->contains(name) || changes_.copies.contains(name);
  }
  Tensor get(std::string_view name) const override {
    const auto copy = changes_.copies.find(name);
    const auto change = changes_.changes.find(name);
    Tensor stored = base_->get(copy == changes_.copies.end() ? name : copy->second);
    if (change == changes_.changes.end()) return stored;
    Tensor out = stored.dtype() == DType::f32 ? stored.clone() : convert(stored, DType::f32);
    for (const TensorChange& f : change->second) f(out.shape(), out.mutable_data<float>());
    return out;
  }
  void release(std::string_view name) const override {
    const auto copy = changes_.copies.find(name);
    base_->release(copy == changes_.copies.end() ? name : copy->second);
  }
  int64_t file_bytes() const override { return base_->file_bytes(); }

 private:
  std::shared_ptr<const TensorSource> base_;
  TensorChanges changes_;
  std::vector<TensorInfo> infos_;
};

}  // namespace

std::unique_ptr<TensorSource> change_tensors(std::shared_ptr<const TensorSource> base,
                                             TensorChanges changes) {
  return std::make_unique<ChangedSource>(std::move(base), std::move(changes));
}

}  // namespace nibble
