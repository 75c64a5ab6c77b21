#include "nibble/model/renamed_tensors.h"

#include <fmt/format.h>

#include <algorithm>
#include <unordered_map>
#include <utility>

#include "nibble/core/error.h"

namespace nibble {
namespace {

struct Beginning {
  std::string_view stored, name;
};
constexpr Beginning kBeginnings[] = {{"model.language_model.", "model."},
                                     {"language_model.model.", "model."},
                                     {"language_model.lm_head.", "lm_head."}};

std::string renamed(const std::string& stored) {
  for (const Beginning& b : kBeginnings) {
    if (stored.starts_with(b.stored)) return std::string(b.name) + stored.substr(b.stored.size());
  }
  return stored;
}

// "X.experts.gate_up_proj" of three dimensions, as matrices of X.
void add_experts(const std::string& name, const TensorInfo& info, std::vector<TensorAlias>& out) {
  constexpr std::string_view kGateUp = ".gate_up_proj", kDown = ".down_proj";
  const bool both = name.ends_with(kGateUp);
  const std::string outside = name.substr(0, name.size() - (both ? kGateUp.size() : kDown.size()));
  const int64_t rows = info.shape[1] / (both ? 2 : 1);
  for (int64_t e = 0; e < info.shape[0]; ++e) {
    const auto add = [&](std::string_view part, int64_t first) {
      out.push_back({fmt::format("{}.{}.{}.weight", outside, e, part), info.name, e, first, rows});
    };
    if (!both) {
      add("down_proj", 0);
      continue;
    }
    add("gate_proj", 0);
    add("up_proj", rows);
  }
}

bool is_stacked(const std::string& name, const TensorInfo& info) {
  const bool both = name.ends_with(".experts.gate_up_proj");
  return info.shape.rank() == 3 && (both || name.ends_with(".experts.down_proj")) &&
         (!both || info.shape[1] % 2 == 0) && std::max(info.shape[0], int64_t{1}) <= 1 << 16;
}

class RenamedTensors : public TensorSource {
 public:
  RenamedTensors(std::unique_ptr<TensorSource> tensors, std::vector<TensorAlias> aliases)
      : tensors_(std::move(tensors)), aliases_(std::move(aliases)) {
    std::unordered_map<std::string_view, const TensorInfo*> stored;
    for (const TensorInfo& i : tensors_->list()) stored.emplace(i.name, &i);
    for (size_t i = 0; i < aliases_.size(); ++i) {
      const TensorAlias& a = aliases_[i];
      const TensorInfo& info = *stored.at(a.stored);
      if (!places_.emplace(a.name, i).second)
        throw corrupt("two tensors of the file have this name").at("tensor " + in_quotes(a.name));
      list_.push_back(
          {a.name, info.dtype, a.index < 0 ? info.shape : Shape{a.rows, info.shape[2]}});
    }
  }

  const std::vector<TensorInfo>& list() const override { return list_; }
  bool contains(std::string_view name) const override { return places_.contains(name); }
  int64_t file_bytes() const override { return tensors_->file_bytes(); }

  Tensor get(std::string_view name) const override {
    const TensorAlias* a = find(name);
    if (a == nullptr) return tensors_->get(name);  // which says that there is none
    Tensor whole = tensors_->get(a->stored);
    return a->index < 0 ? whole : part(whole, *a);
  }
  void release(std::string_view name) const override {
    if (const TensorAlias* a = find(name)) tensors_->release(a->stored);
  }

 private:
  const TensorAlias* find(std::string_view name) const {
    const auto found = places_.find(name);
    return found == places_.end() ? nullptr : &aliases_[found->second];
  }

  // Rows of one matrix, which lie behind each other: a view that keeps the whole.
  static Tensor part(const Tensor& whole, const TensorAlias& a) {
    const auto owner = std::make_shared<const Tensor>(whole);
    const auto row = static_cast<size_t>(whole.shape()[2] * size_of(whole.dtype()));
    const auto first = static_cast<size_t>(a.index * whole.shape()[1] + a.first);
    auto* const data = const_cast<std::byte*>(owner->raw()) + first * row;
    return Tensor(whole.dtype(), Shape{a.rows, whole.shape()[2]},
                  Storage{owner, data, static_cast<size_t>(a.rows) * row});
  }

  const std::unique_ptr<TensorSource> tensors_;
  const std::vector<TensorAlias> aliases_;
  std::unordered_map<std::string_view, size_t> places_;
  std::vector<TensorInfo> list_;
};

}  // namespace

std::vector<TensorAlias> text_aliases(const TensorSource& tensors) {
  std::vector<TensorAlias> out;
  for (const TensorInfo& info : tensors.list()) {
    const std::string name = renamed(info.name);
    if (is_stacked(name, info))
      add_experts(name, info, out);
    else
      out.push_back({name, info.name});
  }
  return out;
}

std::unique_ptr<TensorSource> renamed_tensors(std::unique_ptr<TensorSource> tensors) {
  std::vector<TensorAlias> aliases = text_aliases(*tensors);
  const bool same = std::all_of(aliases.begin(), aliases.end(), [](const TensorAlias& a) {
    return a.index < 0 && a.name == a.stored;
  });
  if (same) return tensors;
  return std::make_unique<RenamedTensors>(std::move(tensors), std::move(aliases));
}

}  // namespace nibble
