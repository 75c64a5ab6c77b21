#include "nibble/nn/linear.h"

#include <fmt/format.h>
#include <omp.h>

#include <algorithm>
#include <cstdlib>
#include <new>
#include <utility>

#include "nibble/core/checked.h"
#include "nibble/core/error.h"
#include "nibble/kernels/kernels.h"
#include "nibble/nn/packed_weight.h"

namespace nibble {
namespace {

// Products below this many multiplications stay on one thread: starting a team costs more.
constexpr int64_t kWorthATeam = int64_t{1} << 18;
// Rows of x in one piece of work.
constexpr int64_t kRowBlock = 96;

// Uninitialized memory for one call.
class Buffer {
 public:
  explicit Buffer(int64_t bytes)
      : data_(static_cast<std::byte*>(
            std::aligned_alloc(64, static_cast<size_t>(ceil_div(bytes + 1, 64) * 64)))) {
    if (data_ == nullptr) throw std::bad_alloc();
  }
  ~Buffer() { std::free(data_); }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
  template <class T>
  T* as() const {
    return reinterpret_cast<T*>(data_);
  }

 private:
  std::byte* data_;
};

// A share of [0, count) for each of `of` threads, in order.
std::pair<int64_t, int64_t> share(int64_t count, int64_t index, int64_t of) {
  return {count * index / of, count * (index + 1) / of};
}

}  // namespace

struct LinearGroup::Impl {
  int64_t k = 0, outputs = 0, scratch = 0;
  std::vector<PackedWeight> members;
  std::vector<int64_t> sum_groups;  // the group sizes whose code sums members need
  const Kernel* quantize = nullptr;

  Impl(std::vector<LinearMember> given, const LinearOptions& options);
  void add(LinearMember member, const LinearOptions& options);
};

LinearGroup::Impl::Impl(std::vector<LinearMember> given, const LinearOptions& options) {
  NIBBLE_CHECK(!given.empty());
  k = columns(given[0].weight);
  for (LinearMember& member : given) add(std::move(member), options);
}

void LinearGroup::Impl::add(LinearMember member, const LinearOptions& options) {
  if (columns(member.weight) != k) {
    throw corrupt(fmt::format("expected {} columns like the others that read the same input, "
                              "found {}",
                              k, columns(member.weight)))
        .at("tensor " + in_quotes(member.name));
  }
  members.emplace_back(std::move(member), options.dequantize_on_the_fly);
  const PackedWeight& packed = members.back();
  outputs += packed.n();
  scratch = std::max(scratch, packed.scratch_bytes());
  const GemmTraits& traits = packed.traits();
  if (!traits.a8) return;
  quantize = &choose_quantize_rows();
  if (std::find(sum_groups.begin(), sum_groups.end(), traits.group) == sum_groups.end())
    sum_groups.push_back(traits.group);
}

namespace {

// One product: x as the members read it, and the pieces of work.
class Product {
 public:
  Product(const std::vector<PackedWeight>& members, const std::vector<int64_t>& sum_groups,
          const Kernel* quantize, std::span<const float> x, int64_t m, int64_t k,
          std::span<float* const> y)
      : members_(members),
        sum_groups_(sum_groups),
        quantize_(quantize),
        x_(x.data()),
        m_(m),
        k_(k),
        code_stride_(ceil_div(k, kCodePadding) * kCodePadding),
        y_(y),
        codes_(quantize == nullptr ? 0 : m * code_stride_),
        row_scales_(quantize == nullptr ? 0 : m * int64_t{sizeof(float)}) {
    for (const int64_t group : sum_groups_)
      sums_.push_back(std::make_unique<Buffer>(m * ceil_div(k, group) * int64_t{sizeof(int32_t)}));
    for (const PackedWeight& w : members_) slices_ += ceil_div(w.n(), kOutputSlice);
  }

  // Quantizes this thread's share of the rows.
  void prepare(int64_t thread, int64_t threads) const {
    if (quantize_ == nullptr) return;
    const auto [begin, end] = share(m_, thread, threads);
    int8_t* codes = codes_.as<int8_t>() + begin * code_stride_;
    quantize_->quantize_rows(x_ + begin * k_, end - begin, k_, k_, codes, code_stride_,
                             row_scales_.as<float>() + begin);
    for (size_t i = 0; i < sum_groups_.size(); ++i) {
      int32_t* sums = sums_[i]->as<int32_t>() + begin * ceil_div(k_, sum_groups_[i]);
      sum_codes(codes, end - begin, k_, code_stride_, sum_groups_[i], sums);
    }
  }

  // This thread's share of the slices, each over all rows: a slice stays in cache meanwhile.
  void work(int64_t thread, int64_t threads, void* scratch) const {
    const int64_t blocks = ceil_div(m_, kRowBlock);
    const auto [begin, end] = share(slices_ * blocks, thread, threads);
    for (int64_t i = begin; i < end; ++i) piece(i / blocks, i % blocks, scratch);
  }

 private:
  void piece(int64_t slice, int64_t block, void* scratch) const {
    size_t member = 0;
    for (; slice >= ceil_div(members_[member].n(), kOutputSlice); ++member)
      slice -= ceil_div(members_[member].n(), kOutputSlice);
    const PackedWeight& w = members_[member];
    const int64_t row = block * kRowBlock, n_begin = slice * kOutputSlice;
    const int64_t n_end = std::min(n_begin + kOutputSlice, w.n());
    const GemmOutput out{y_[member] + row * w.n(), w.n(), w.bias()};
    w.kernel(m_).run(w.view(), input(w.traits(), row), n_begin, n_end, out, scratch);
  }

  GemmInput input(const GemmTraits& traits, int64_t row) const {
    GemmInput in;
    in.m = std::min(kRowBlock, m_ - row);
    in.x = x_ + row * k_;
    in.x_stride = k_;
    if (!traits.a8) return in;
    const auto at = std::find(sum_groups_.begin(), sum_groups_.end(), traits.group);
    in.codes = codes_.as<int8_t>() + row * code_stride_;
    in.code_stride = code_stride_;
    in.row_scales = row_scales_.as<float>() + row;
    in.sums = sums_[static_cast<size_t>(at - sum_groups_.begin())]->as<int32_t>() +
              row * ceil_div(k_, traits.group);
    return in;
  }

  const std::vector<PackedWeight>& members_;
  const std::vector<int64_t>& sum_groups_;
  const Kernel* quantize_;
  const float* x_;
  int64_t m_, k_, code_stride_;
  std::span<float* const> y_;
  Buffer codes_, row_scales_;
  std::vector<std::unique_ptr<Buffer>> sums_;
  int64_t slices_ = 0;
};

}  // namespace

LinearGroup::LinearGroup() = default;
LinearGroup::LinearGroup(std::vector<LinearMember> members, const LinearOptions& options)
    : impl_(std::make_unique<Impl>(std::move(members), options)) {}
LinearGroup::~LinearGroup() = default;
LinearGroup::LinearGroup(LinearGroup&&) noexcept = default;
LinearGroup& LinearGroup::operator=(LinearGroup&&) noexcept = default;

void LinearGroup::forward(std::span<const float> x, int64_t m, std::span<float* const> y,
                          const Exec& exec) const {
  NIBBLE_CHECK(impl_ != nullptr && m >= 0 && y.size() == size());
  NIBBLE_CHECK(static_cast<int64_t>(x.size()) == m * impl_->k);
  if (exec.observer != nullptr) {
    for (const PackedWeight& w : impl_->members) exec.observer->observe(w.name(), x, m, impl_->k);
  }
  if (m == 0) return;
  const Product product(impl_->members, impl_->sum_groups, impl_->quantize, x, m, impl_->k, y);
  const bool worth_a_team = m * impl_->outputs >= ceil_div(kWorthATeam, impl_->k);
  const int threads = worth_a_team ? std::max(exec.threads, 1) : 1;
  const int64_t each = ceil_div(impl_->scratch, 64) * 64;
  const Buffer scratch(each * threads);
  if (threads == 1) {
    product.prepare(0, 1);
    product.work(0, 1, scratch.as<std::byte>());
    return;
  }
#pragma omp parallel num_threads(threads)
  {
    const int64_t thread = omp_get_thread_num(), team = omp_get_num_threads();
    product.prepare(thread, team);
#pragma omp barrier
    product.work(thread, team, scratch.as<std::byte>() + thread * each);
  }
}

void LinearGroup::forward(std::span<const float> x, int64_t m, float* y, const Exec& exec) const {
  forward(x, m, std::span<float* const>(&y, 1), exec);
}

size_t LinearGroup::size() const { return impl_ == nullptr ? 0 : impl_->members.size(); }
int64_t LinearGroup::inputs() const { return impl_->k; }
int64_t LinearGroup::outputs(size_t member) const { return impl_->members.at(member).n(); }
std::string_view LinearGroup::name(size_t member) const { return impl_->members.at(member).name(); }
const QuantScheme& LinearGroup::scheme(size_t member) const {
  return impl_->members.at(member).scheme();
}
std::string_view LinearGroup::kernel_name(size_t member, int64_t m) const {
  return impl_->members.at(member).kernel(m).name;
}
Weight LinearGroup::source(size_t member) const { return impl_->members.at(member).source(); }

size_t LinearGroup::memory_bytes() const {
  size_t sum = 0;
  for (size_t i = 0; i < size(); ++i) sum += impl_->members[i].memory_bytes();
  return sum;
}

size_t LinearGroup::weight_bytes() const {
  size_t sum = 0;
  for (size_t i = 0; i < size(); ++i) sum += impl_->members[i].weight_bytes();
  return sum;
}

}  // namespace nibble
