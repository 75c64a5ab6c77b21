#include "nibble/nn/linear.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "nibble/core/aligned_memory.h"
#include "nibble/core/checked.h"
#include "nibble/core/error.h"
#include "nibble/kernels/kernels.h"
#include "nibble/kernels/layer.h"
#include "nibble/nn/activation.h"
#include "nibble/nn/packed_weight.h"

namespace nibble {
namespace {

// Products below this many multiplications stay on one thread: starting a team costs more.
constexpr int64_t kWorthATeam = int64_t{1} << 18;
// Rows of x in one piece of work.
constexpr int64_t kRowBlock = 96;

int64_t lines(int64_t bytes) { return ceil_div(bytes, 64) * 64; }

}  // namespace

struct LinearGroup::Impl {
  int64_t k = 0, outputs = 0, slices = 0, scratch = 0, outlier_scratch = 0;
  std::vector<PackedWeight> members;
  std::vector<int64_t> sum_groups;  // the group sizes whose code sums members need
  const Kernel* quantize = nullptr;
  bool reads_bf16 = false;            // some member
  std::optional<InputCoding> coding;  // of every member that reads codes
  const LayerOps& ops = best_layer_ops();

  Impl(std::vector<LinearMember> given, const LinearOptions& options);
  void add(LinearMember member, const LinearOptions& options);
  // The member that slice `slice` of all belongs to, and which of its slices it is.
  std::pair<size_t, int64_t> member_of(int64_t slice) const {
    size_t member = 0;
    for (; slice >= ceil_div(members[member].n(), kOutputSlice); ++member)
      slice -= ceil_div(members[member].n(), kOutputSlice);
    return {member, slice};
  }
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
  members.emplace_back(std::move(member), options);
  const PackedWeight& packed = members.back();
  outputs += packed.n();
  slices += ceil_div(packed.n(), kOutputSlice);
  scratch = std::max(scratch, packed.scratch_bytes());
  const GemmTraits& traits = packed.traits();
  reads_bf16 = reads_bf16 || packed.reads_bf16();
  if (!traits.a8) return;
  if (coding && coding != packed.coding()) {
    throw unsupported(
        "its inputs are rounded otherwise than those of the weights that read the same ones: give "
        "them one scheme of activations")
        .at("tensor " + in_quotes(packed.name()));
  }
  coding = packed.coding();
  outlier_scratch = std::max({outlier_scratch, packed.outlier_bytes(),
                              coding->scratch_floats(k) * int64_t{sizeof(float)}});
  quantize = &choose_quantize_rows();
  if (std::find(sum_groups.begin(), sum_groups.end(), traits.group) == sum_groups.end())
    sum_groups.push_back(traits.group);
}

// Where the parts of a workspace lie: the rows as codes and as bf16 (one set, or one for each
// thread where rows are few), then scratch for each thread.
struct LinearGroup::Layout {
  Layout(const Impl& impl, int64_t m, int64_t threads)
      : own(m <= kOwnRows), code_stride(ceil_div(impl.k, kCodePadding) * kCodePadding) {
    if (impl.quantize != nullptr) {
      row_scales = lines(m * code_stride);
      counts = row_scales + lines(m * int64_t{sizeof(float)});
      sums = counts;
      if (impl.coding->spares_outliers()) sums += lines(m * int64_t{sizeof(int32_t)});
      coded = sums;
      for (const int64_t group : impl.sum_groups) coded += sums_bytes(impl, m, group);
    }
    narrow = coded;
    if (impl.reads_bf16) coded += lines(m * impl.k * int64_t{sizeof(uint16_t)});
    scratch = coded * (own ? threads : 1);
    outliers = lines(impl.scratch);
    scratch_each = outliers + lines(impl.outlier_scratch);
    bytes = scratch + scratch_each * threads;
  }
  static int64_t sums_bytes(const Impl& impl, int64_t m, int64_t group) {
    return lines(m * ceil_div(impl.k, group) * int64_t{sizeof(int32_t)});
  }
  bool own;
  int64_t code_stride, row_scales = 0, counts = 0, sums = 0, narrow = 0, outliers = 0, coded = 0,
                       scratch = 0, scratch_each = 0;
  int64_t bytes = 0;
};

// One product of a team: what every thread knows of it.
class LinearGroup::Product {
 public:
  Product(const Impl& impl, const float* x, int64_t m, const LinearOutput& out,
          std::byte* workspace, const Team& team)
      : impl_(impl),
        layout_(impl, m, team.size()),
        x_(x),
        m_(m),
        out_(out),
        coded_(workspace + (layout_.own ? team.rank() * layout_.coded : 0)),
        scratch_(workspace + layout_.scratch + team.rank() * layout_.scratch_each) {}

  // Quantizes or rounds x: all of it, or this thread's share of the rows.
  void prepare(Team& team) const {
    if (impl_.quantize == nullptr && !impl_.reads_bf16) return;
    const auto [begin, end] = layout_.own ? std::pair<int64_t, int64_t>{0, m_} : team.share(m_);
    const int64_t k = impl_.k;
    if (impl_.quantize != nullptr) quantize(begin, end);
    if (impl_.reads_bf16)
      impl_.ops.to_bf16(x_ + begin * k, (end - begin) * k, narrow() + begin * k);
    if (!layout_.own) team.sync();
  }

  // Slices, each over all rows: a slice stays in cache meanwhile.
  void work(Team& team) const {
    const bool gated = out_.end == LinearEnd::silu_gate;
    const int64_t slices = gated ? impl_.slices / 2 : impl_.slices;
    const int64_t blocks = ceil_div(m_, kRowBlock);
    team.pieces(slices * blocks, [&](int64_t i) {
      const int64_t slice = i / blocks, row = i % blocks * kRowBlock;
      if (gated) {
        piece(0, slice, row);
        piece(1, slice, row);
      } else {
        const auto [member, at] = impl_.member_of(slice);
        piece(member, at, row);
      }
      finish(slice, row);
    });
  }

 private:
  void quantize(int64_t begin, int64_t end) const {
    const int64_t k = impl_.k;
    impl_.coding->quantize(*impl_.quantize, x_ + begin * k, end - begin, k,
                           codes() + begin * layout_.code_stride, layout_.code_stride,
                           row_scales() + begin, counts() + begin,
                           reinterpret_cast<float*>(scratch_ + layout_.outliers));
    std::byte* sums = coded_ + layout_.sums;
    for (const int64_t group : impl_.sum_groups) {
      const int64_t groups = ceil_div(k, group);
      for (int64_t r = begin; r < end; ++r) {
        impl_.ops.sum_codes(codes() + r * layout_.code_stride, k, group,
                            reinterpret_cast<int32_t*>(sums) + r * groups);
      }
      sums += Layout::sums_bytes(impl_, m_, group);
    }
  }

  int8_t* codes() const { return reinterpret_cast<int8_t*>(coded_); }
  uint16_t* narrow() const { return reinterpret_cast<uint16_t*>(coded_ + layout_.narrow); }
  float* row_scales() const { return reinterpret_cast<float*>(coded_ + layout_.row_scales); }

  int32_t* counts() const { return reinterpret_cast<int32_t*>(coded_ + layout_.counts); }

  // What the codes of x left out, in f32.
  void add_outliers(const PackedWeight& w, int64_t n_begin, int64_t n_end, int64_t row,
                    float* y) const {
    std::byte* const rows = scratch_ + layout_.outliers;
    bool ready = false;
    for (int64_t r = row; r < std::min(row + kRowBlock, m_); ++r) {
      if (counts()[r] == 0) continue;
      if (!ready) w.outlier_rows(n_begin, n_end, rows);
      ready = true;
      w.add_outliers(x_ + r * impl_.k, n_begin, n_end, rows, y + (r - row) * w.n());
    }
  }

  void piece(size_t member, int64_t slice, int64_t row) const {
    const PackedWeight& w = impl_.members[member];
    const int64_t n_begin = slice * kOutputSlice;
    const int64_t n_end = std::min(n_begin + kOutputSlice, w.n());
    const float* residual = out_.residual == nullptr ? nullptr : out_.residual + row * w.n();
    const GemmOutput out{out_.y[member] + row * w.n(), w.n(), w.bias(), residual};
    w.kernel(m_).run(w.view(), input(w.traits(), row), n_begin, n_end, out, scratch_);
    if (w.coding() && w.coding()->spares_outliers()) add_outliers(w, n_begin, n_end, row, out.y);
  }

  // The activation of one piece, while it is in the first cache.
  void finish(int64_t slice, int64_t row) const {
    if (out_.end == LinearEnd::none) return;
    const int64_t n = impl_.members.back().n(), begin = slice * kOutputSlice;
    const int64_t count = std::min(kOutputSlice, n - begin);
    for (int64_t r = row; r < std::min(row + kRowBlock, m_); ++r) {
      float* y = out_.y.back() + r * n + begin;
      switch (out_.end) {
        case LinearEnd::relu:
          impl_.ops.relu(count, y);
          break;
        case LinearEnd::gelu_tanh:
          impl_.ops.gelu_tanh(count, y);
          break;
        case LinearEnd::gelu:
          gelu(std::span(y, static_cast<size_t>(count)));
          break;
        case LinearEnd::silu_gate:
          impl_.ops.silu_gate(out_.y[0] + r * n + begin, count, y);
          break;
        case LinearEnd::none:
          break;
      }
    }
  }

  GemmInput input(const GemmTraits& traits, int64_t row) const {
    GemmInput in;
    in.m = std::min(kRowBlock, m_ - row);
    in.x = x_ + row * impl_.k;
    in.x_stride = impl_.k;
    if (impl_.reads_bf16) in.narrow = narrow() + row * impl_.k;
    if (!traits.a8) return in;
    in.codes = codes() + row * layout_.code_stride;
    in.code_stride = layout_.code_stride;
    in.row_scales = row_scales() + row;
    const std::byte* sums = coded_ + layout_.sums;
    for (const int64_t group : impl_.sum_groups) {
      if (group == traits.group) break;
      sums += Layout::sums_bytes(impl_, m_, group);
    }
    in.sums = reinterpret_cast<const int32_t*>(sums) + row * ceil_div(impl_.k, traits.group);
    return in;
  }

  const Impl& impl_;
  const Layout layout_;
  const float* x_;
  int64_t m_;
  const LinearOutput& out_;
  std::byte *coded_, *scratch_;
};

LinearGroup::LinearGroup() = default;
LinearGroup::LinearGroup(std::vector<LinearMember> members, const LinearOptions& options)
    : impl_(std::make_unique<Impl>(std::move(members), options)) {}
LinearGroup::~LinearGroup() = default;
LinearGroup::LinearGroup(LinearGroup&&) noexcept = default;
LinearGroup& LinearGroup::operator=(LinearGroup&&) noexcept = default;

int64_t LinearGroup::workspace_bytes(int64_t m, int64_t threads) const {
  return Layout(*impl_, m, threads).bytes;
}

void LinearGroup::observe(std::span<const float> x, int64_t m, const Exec& exec) const {
  if (exec.observer == nullptr) return;
  for (const PackedWeight& w : impl_->members) exec.observer->observe(w.name(), x, m, impl_->k);
}

void LinearGroup::forward(const float* x, int64_t m, const LinearOutput& out, std::byte* workspace,
                          Team& team) const {
  const Product product(*impl_, x, m, out, workspace, team);
  product.prepare(team);
  product.work(team);
}

void LinearGroup::forward(std::span<const float> x, int64_t m, std::span<float* const> y,
                          const Exec& exec) const {
  NIBBLE_CHECK(impl_ != nullptr && m >= 0 && y.size() == size());
  NIBBLE_CHECK(static_cast<int64_t>(x.size()) == m * impl_->k);
  observe(x, m, exec);
  if (m == 0) return;
  const bool worth_a_team = m * impl_->outputs >= ceil_div(kWorthATeam, impl_->k);
  const int threads = worth_a_team ? std::max(exec.threads, 1) : 1;
  const AlignedMemory workspace(workspace_bytes(m, threads));
  run_team(threads, [&](Team& team) { forward(x.data(), m, {y}, workspace.as(), team); });
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

int64_t LinearGroup::multiplications() const { return impl_->outputs * impl_->k; }

void LinearGroup::weight_row(size_t member, int64_t row, std::span<float> out) const {
  impl_->members.at(member).weight_row(row, out);
}

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
