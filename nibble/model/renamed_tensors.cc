#include "nibble/model/renamed_tensors.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
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

// What lies in one tensor for all experts of a layer.
struct ExpertStack {
  std::string_view stored, part;  // the names' ends: ".gate_up_proj", "weight"
  bool both;                      // gate and up
  int rank;
  std::string_view outside = ".experts";
};
constexpr ExpertStack kStacks[] = {
    {".gate_up_proj", "weight", true, 3},
    {".down_proj", "weight", false, 3},
    {".gate_up_proj_bias", "bias", true, 2},
    {".down_proj_bias", "bias", false, 2},
    {".gate_up_proj_blocks", "weight_packed", true, 4},
    {".down_proj_blocks", "weight_packed", false, 4},
    {".gate_up_proj_scales", "weight_scale", true, 3},
    {".down_proj_scales", "weight_scale", false, 3},
    {".input_linear.weight", "weight", true, 3, ".block_sparse_moe"},
    {".output_linear.weight", "weight", false, 3, ".block_sparse_moe"}};

const ExpertStack* stack_of(std::string_view name) {
  for (const ExpertStack& s : kStacks) {
    if (name.ends_with(s.stored) &&
        name.substr(0, name.size() - s.stored.size()).ends_with(s.outside))
      return &s;
  }
  return nullptr;
}

// Files of gpt-oss, by names that no others have.
bool has_turned_stacks(const TensorSource& tensors) {
  return std::any_of(tensors.list().begin(), tensors.list().end(), [](const TensorInfo& i) {
    return i.name.ends_with(".experts.gate_up_proj_bias");
  });
}

// "X.experts.gate_up_proj" of all experts, as tensors of each: false where it is no such stack.
bool add_experts(const std::string& name, const TensorInfo& info, bool turned,
                 std::vector<TensorAlias>& out) {
  const ExpertStack* const stack = stack_of(name);
  if (stack == nullptr) return false;
  const bool transposed = turned && stack->part == "weight";
  if (static_cast<int>(info.shape.rank()) != stack->rank || info.shape[0] > 1 << 16) return false;
  const int64_t all = info.shape[transposed ? 2 : 1];
  if (stack->both && all % 2 != 0) return false;
  const int64_t rows = stack->both ? all / 2 : all;
  const int64_t width =
      all == 0 ? 0 : info.shape.elements() / std::max<int64_t>(info.shape[0], 1) / all;
  const Shape shape = stack->rank == 2 ? Shape{rows} : Shape{rows, width};
  std::string outside = name.substr(0, name.size() - stack->stored.size());
  if (stack->outside != ".experts") outside += ".experts";
  for (int64_t e = 0; e < info.shape[0]; ++e) {
    const auto add = [&](std::string_view module, int64_t first) {
      out.push_back({fmt::format("{}.{}.{}.{}", outside, e, module, stack->part), info.name, e,
                     first, stack->both && turned ? 2 : 1, shape, transposed});
    };
    if (!stack->both) {
      add("down_proj", 0);
      continue;
    }
    add("gate_proj", 0);
    add("up_proj", turned ? 1 : rows);
  }
  return true;
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
      list_.push_back({a.name, info.dtype, a.index < 0 ? info.shape : a.shape});
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

  static Tensor part(const Tensor& whole, const TensorAlias& a) {
    const int64_t each = whole.shape().elements() / whole.shape()[0];
    const auto element = static_cast<size_t>(size_of(whole.dtype()));
    const std::byte* const from = whole.raw() + static_cast<size_t>(a.index * each) * element;
    if (!a.transposed && a.step == 1) return rows_together(whole, a, from);
    Tensor out(whole.dtype(), a.shape);
    const int64_t rows = a.shape[0], width = a.shape.elements() / rows;
    const int64_t to_row = a.transposed ? 1 : width, to_column = a.transposed ? each / width : 1;
    std::byte* to = out.mutable_raw();
    for (int64_t r = 0; r < rows; ++r) {
      for (int64_t c = 0; c < width; ++c, to += element)
        std::memcpy(
            to,
            from + static_cast<size_t>((a.first + r * a.step) * to_row + c * to_column) * element,
            element);
    }
    return out;
  }

  // Rows that lie behind each other: a view that keeps the whole.
  static Tensor rows_together(const Tensor& whole, const TensorAlias& a, const std::byte* from) {
    const auto owner = std::make_shared<const Tensor>(whole);
    const int64_t width = a.shape.elements() / a.shape[0];
    const auto element = static_cast<size_t>(size_of(whole.dtype()));
    auto* const data =
        const_cast<std::byte*>(from) + static_cast<size_t>(a.first * width) * element;
    const size_t bytes = static_cast<size_t>(a.shape.elements()) * element;
    return Tensor(whole.dtype(), a.shape, Storage{owner, data, bytes});
  }

  const std::unique_ptr<TensorSource> tensors_;
  const std::vector<TensorAlias> aliases_;
  std::unordered_map<std::string_view, size_t> places_;
  std::vector<TensorInfo> list_;
};

}  // namespace

std::vector<TensorAlias> text_aliases(const TensorSource& tensors) {
  std::vector<TensorAlias> out;
  const bool turned = has_turned_stacks(tensors);
  for (const TensorInfo& info : tensors.list()) {
    const std::string name = renamed(info.name);
    if (!add_experts(name, info, turned, out)) out.push_back({name, info.name});
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
