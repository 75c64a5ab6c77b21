#include "nibble/nn/linear.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "nibble/core/aligned_memory.h"
#include "nibble/core/checked.h"
#include "nibble/core/error.h"
#include "nibble/kernels/layer.h"
#include "nibble/nn/activation.h"
#include "nibble/nn/gate.h"
#include "nibble/nn/input_reading.h"
#include "nibble/nn/low_rank_path.h"
#include "nibble/nn/packed_weight.h"

namespace nibble {
namespace {

// Products below this many multiplications stay on one thread: starting a team costs more.
constexpr int64_t kWorthATeam = int64_t{1} << 18;
// Rows of x in one piece of work.
constexpr int64_t kRowBlock = 96;

}  // namespace

struct LinearGroup::Impl {
  int64_t k = 0, outputs = 0, slices = 0, scratch = 0, outlier_scratch = 0;
  std::vector<PackedWeight> members;
  std::vector<InputReading> readings;
  std::vector<size_t> reading_of;  // of each member
  LowRankPath added;
  const LayerOps& ops = best_layer_ops();

  Impl(std::vector<LinearMember> given, const LinearOptions& options);
  void add(LinearMember member, const LinearOptions& options);
  void read_as(const PackedWeight& packed);
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
  k = given[0].weight.columns();
  std::vector<std::shared_ptr<const LowRank>> changes;
  for (LinearMember& member : given) {
    changes.push_back(member.weight.added());
    if (changes.back() != nullptr) member.weight = member.weight.base();
    add(std::move(member), options);
  }
  added = LowRankPath(changes, k, std::string(members.front().name()), options);
  scratch = std::max(scratch, added.scratch_bytes());
}

void LinearGroup::Impl::add(LinearMember member, const LinearOptions& options) {
  if (member.weight.columns() != k) {
    throw corrupt(fmt::format("expected {} columns like the others that read the same input, "
                              "found {}",
                              k, member.weight.columns()))
        .at("tensor " + in_quotes(member.name));
  }
  members.emplace_back(std::move(member), options);
  const PackedWeight& packed = members.back();
  outputs += packed.n();
  slices += ceil_div(packed.n(), kOutputSlice);
  scratch = std::max(scratch, packed.scratch_bytes());
  outlier_scratch = std::max(outlier_scratch, packed.outlier_bytes());
  read_as(packed);
}

void LinearGroup::Impl::read_as(const PackedWeight& packed) {
  const auto found = std::find_if(readings.begin(), readings.end(),
                                  [&](const InputReading& r) { return r.fits(packed); });
  reading_of.push_back(static_cast<size_t>(found - readings.begin()));
  if (found == readings.end()) readings.emplace_back(packed);
  InputReading& reading = readings[reading_of.back()];
  reading.add(packed);
  outlier_scratch = std::max(outlier_scratch, reading.scratch_floats() * int64_t{sizeof(float)});
}

// Where the parts of a workspace lie: the rows as read (one set, or one for each thread where rows
// are few), what low-rank changes make of them first, then scratch for each thread.
struct LinearGroup::Layout {
  Layout(const Impl& impl, int64_t m, int64_t threads) : own(m <= kOwnRows) {
    if (!impl.readings.empty()) first = {impl.readings[0], m};
    read = first.bytes;
    for (size_t i = 1; i < impl.readings.size(); ++i)
      read += InputReading::Parts(impl.readings[i], m).bytes;
    thin = read * (own ? threads : 1);
    scratch = thin + whole_lines(m * impl.added.columns() * int64_t{sizeof(float)});
    outliers = whole_lines(impl.scratch);
    scratch_each = outliers + whole_lines(impl.outlier_scratch);
    bytes = scratch + scratch_each * threads;
  }
  bool own;
  InputReading::Parts first;  // of the first reading, mostly the only one
  int64_t read = 0, thin = 0, outliers = 0, scratch = 0, scratch_each = 0;
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
        read_(workspace + (layout_.own ? team.rank() * layout_.read : 0)),
        thin_(reinterpret_cast<float*>(workspace + layout_.thin)),
        scratch_(workspace + layout_.scratch + team.rank() * layout_.scratch_each) {}

  // What has to be there before slices are worked on.
  void prepare(Team& team) const {
    const bool shared = read_rows(team);
    make_thin(team);
    if (shared || !impl_.added.empty()) team.sync();
  }

  // Slices, each over all rows: a slice stays in cache meanwhile.
  void work(Team& team) const {
    const bool gated = is_gate(out_.end);
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
  // Orders, quantizes or rounds x: all of it, or this thread's share of the rows, which others need
  // as well: true.
  bool read_rows(const Team& team) const {
    const auto& readings = impl_.readings;
    if (std::none_of(readings.begin(), readings.end(),
                     [](const InputReading& r) { return r.prepares(); }))
      return false;
    const auto [begin, end] = layout_.own ? std::pair<int64_t, int64_t>{0, m_} : team.share(m_);
    auto* const values = reinterpret_cast<float*>(scratch_ + layout_.outliers);
    for (size_t i = 0; i < readings.size(); ++i)
      readings[i].prepare(x_, parts(i), begin, end, read_at(i), values);
    return !layout_.own;
  }

  // x A^T of x as it is, whatever weights read of it.
  void make_thin(Team& team) const {
    const LowRankPath& added = impl_.added;
    if (added.empty()) return;
    const int64_t blocks = ceil_div(m_, kRowBlock);
    team.pieces(added.slices() * blocks, [&](int64_t i) {
      const int64_t row = i % blocks * kRowBlock;
      added.down(x_ + row * impl_.k, std::min(kRowBlock, m_ - row), i / blocks,
                 thin_ + row * added.columns(), scratch_);
    });
  }

  // Where the rows lie as reading `reading` has them.
  std::byte* read_at(size_t reading) const {
    std::byte* at = read_;
    for (size_t i = 0; i < reading; ++i) at += parts(i).bytes;
    return at;
  }

  InputReading::Parts parts(size_t reading) const {
    return reading == 0 ? layout_.first : InputReading::Parts(impl_.readings[reading], m_);
  }

  // What the codes of x left out, in f32.
  void add_outliers(size_t member, int64_t n_begin, int64_t n_end, int64_t row, float* y) const {
    const PackedWeight& w = impl_.members[member];
    const size_t reading = impl_.reading_of[member];
    const InputReading& r = impl_.readings[reading];
    const float* x = r.rows(x_, parts(reading), read_at(reading));
    const int32_t* counts = InputReading::counts(parts(reading), read_at(reading));
    std::byte* const rows = scratch_ + layout_.outliers;
    bool ready = false;
    for (int64_t i = row; i < std::min(row + kRowBlock, m_); ++i) {
      if (counts[i] == 0) continue;
      if (!ready) w.outlier_rows(n_begin, n_end, rows);
      ready = true;
      w.add_outliers(x + i * impl_.k, n_begin, n_end, rows, y + (i - row) * w.n());
    }
  }

  void piece(size_t member, int64_t slice, int64_t row) const {
    const PackedWeight& w = impl_.members[member];
    const int64_t n_begin = slice * kOutputSlice;
    const int64_t n_end = std::min(n_begin + kOutputSlice, w.n());
    const float* residual = out_.residual == nullptr ? nullptr : out_.residual + row * w.n();
    const GemmOutput out{out_.y[member] + row * w.n(), w.n(), w.bias(), residual};
    const size_t reading = impl_.reading_of[member];
    const GemmInput in = impl_.readings[reading].input(
        w.traits(), x_, parts(reading), row, std::min(kRowBlock, m_ - row), read_at(reading));
    w.kernel().run(w.view(), in, n_begin, n_end, out, scratch_);
    if (w.coding() && w.coding()->spares_outliers())
      add_outliers(member, n_begin, n_end, row, out.y);
    if (impl_.added.changes(member))
      impl_.added.up(member, thin_ + row * impl_.added.columns(), in.m, n_begin, n_end, out.y,
                     scratch_);
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
        case LinearEnd::relu_squared:
          impl_.ops.relu(count, y);
          for (int64_t i = 0; i < count; ++i) y[i] *= y[i];
          break;
        case LinearEnd::gelu_tanh:
          impl_.ops.gelu_tanh(count, y);
          break;
        case LinearEnd::gelu:
          gelu(std::span(y, static_cast<size_t>(count)));
          break;
        case LinearEnd::silu_gate:
        case LinearEnd::gelu_tanh_gate:
        case LinearEnd::clamped_gate:
          apply_gate(out_.end, out_.y[0] + r * n + begin, count, y);
          break;
        case LinearEnd::none:
          break;
      }
    }
  }

  const Impl& impl_;
  const Layout layout_;
  const float* x_;
  int64_t m_;
  const LinearOutput& out_;
  std::byte* read_;
  float* thin_;
  std::byte* scratch_;
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
std::string_view LinearGroup::kernel_name(size_t member) const {
  return impl_->members.at(member).kernel().name;
}
Weight LinearGroup::source(size_t member) const {
  Weight base = impl_->members.at(member).source();
  auto change = impl_->added.change(member);
  return change == nullptr ? base : Weight(base, std::move(change));
}

int64_t LinearGroup::multiplications() const {
  return impl_->outputs * impl_->k + impl_->added.multiplications();
}

void LinearGroup::weight_row(size_t member, int64_t row, std::span<float> out) const {
  impl_->members.at(member).weight_row(row, out);
  if (impl_->added.changes(member)) impl_->added.change(member)->add_row(row, out);
}

size_t LinearGroup::memory_bytes() const {
  size_t sum = impl_ == nullptr ? 0 : impl_->added.bytes();
  for (size_t i = 0; i < size(); ++i) sum += impl_->members[i].memory_bytes();
  return sum;
}

size_t LinearGroup::weight_bytes() const {
  size_t sum = impl_ == nullptr ? 0 : impl_->added.bytes();
  for (size_t i = 0; i < size(); ++i) sum += impl_->members[i].weight_bytes();
  return sum;
}

}  // namespace nibble
