// Products alone, f32 in and f32 out: what part of the machine's peak many rows reach, and what
// part of its read bandwidth one row does, when the weights come from memory. Peak, bandwidth and
// product are measured in turn; the median of the quotients counts.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "nibble/core/aligned_memory.h"
#include "nibble/core/cpu.h"
#include "nibble/core/exec.h"
#include "nibble/core/float_formats.h"
#include "nibble/core/team.h"
#include "nibble/eval/bandwidth.h"
#include "nibble/eval/peak.h"
#include "nibble/kernels/kernels.h"
#include "nibble/nn/linear.h"
#include "nibble/quant/rtn.h"

namespace nibble::bench {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int64_t kInputs = 2048, kOutputs = 5632, kRows = 256;
constexpr int64_t kBeyondCaches = int64_t{160} << 20;  // bytes of weights that are read in turn
constexpr int kRounds = 7;
constexpr const char* kSchemes[] = {"f32",         "bf16",         "int8:a8",      "int4:g128:a8",
                                    "int4:g32:a8", "int3:g128:a8", "int2:g128:a8", "int4:g128",
                                    "nf4:g64",     "fp8_e4m3"};

double seconds(const std::function<void()>& body) {
  const auto start = Clock::now();
  body();
  return std::chrono::duration<double>(Clock::now() - start).count();
}

double median(std::vector<double> v) {
  std::nth_element(v.begin(), v.begin() + static_cast<ptrdiff_t>(v.size() / 2), v.end());
  return v[v.size() / 2];
}

Weight weight_of(const std::string& spelling) {
  Tensor w(DType::f32, {kOutputs, kInputs});
  uint64_t state = 42;
  for (float& v : w.mutable_data<float>()) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    v = (static_cast<float>(state >> 40) / (1 << 24) - 0.5f) * 0.1f;
  }
  const QuantScheme scheme = parse_scheme(spelling);
  if (scheme.type == NumberType::f32) return w;
  if (scheme.is_float()) return convert(w, DType::bf16);
  return quantize_rtn(w, scheme, {}, spelling);
}

// Copies of one weight that no cache holds together.
class Copies {
 public:
  Copies(const Weight& weight, int threads) {
    LinearOptions options;
    options.threads = threads;
    const auto size = static_cast<int64_t>(weight.bytes());
    for (int64_t held = 0; held < kBeyondCaches; held += size) {
      std::vector<LinearMember> members;
      members.push_back({"w", weight, std::nullopt});
      groups_.emplace_back(std::move(members), options);
    }
    std::fill_n(x_.get<float>(kRows * kInputs), kRows * kInputs, 0.5f);
  }
  // y = W x for m rows, once with each of the first `count` copies, as a pass over a model does it.
  void multiply(int64_t m, size_t count, int threads) {
    const float* x = x_.get<float>(kRows * kInputs);
    float* y = y_.get<float>(kRows * kOutputs);
    auto* workspace = workspace_.get<std::byte>(groups_[0].workspace_bytes(kRows, threads));
    run_team(threads, [&](Team& team) {
      for (size_t i = 0; i < count; ++i) {
        groups_[i].forward(x, m, {std::span(&y, 1)}, workspace, team);
        team.sync();
      }
    });
  }
  size_t count() const { return groups_.size(); }
  const LinearGroup& first() const { return groups_[0]; }

 private:
  std::vector<LinearGroup> groups_;
  AlignedMemory x_, y_, workspace_;
};

struct Result {
  double rate = 0, of_limit = 0;
};

// The median rate, and the median of rate / limit.
Result in_turn(const std::function<double()>& rate, const std::function<double()>& limit) {
  std::vector<double> rates, quotients;
  rate();
  for (int i = 0; i < kRounds; ++i) {
    const double most = limit();
    rates.push_back(rate());
    quotients.push_back(most > 0 ? rates.back() / most : 0);
  }
  return {median(rates), median(quotients)};
}

GemmTraits traits_of(const QuantScheme& s) {
  GemmTraits t{.n = kOutputs,
               .k = kInputs,
               .weight = WeightType::f32,
               .bits = 0,
               .group = kInputs,
               .a8 = s.activations == ActivationType::a8};
  if (t.a8) t.weight = WeightType::codes, t.bits = 4;
  return t;
}

void measure(const std::string& spelling, int threads) {
  const Weight weight = weight_of(spelling);
  Copies copies(weight, threads);
  const Kernel& limit = choose_gemm(traits_of(parse_scheme(spelling)));
  const double ops = 2.0 * kRows * kInputs * kOutputs;
  const Result many =
      in_turn([&] { return ops / seconds([&] { copies.multiply(kRows, 1, threads); }); },
              [&] { return measure_peak(limit, {.threads = threads, .seconds = 0.01}); });
  const auto read = static_cast<double>(copies.first().weight_bytes() * copies.count());
  BandwidthOptions b;
  b.threads = threads;
  b.bytes = int64_t{256} << 20;
  b.seconds = 0;
  const Result one =
      in_turn([&] { return read / seconds([&] { copies.multiply(1, copies.count(), threads); }); },
              [&] { return measure_read_bandwidth(b); });
  fmt::print("{:14} {} {:8.0f} {:5.0f} %   {:7.3f} {:6.1f} {:5.0f} %   {}\n", spelling, threads,
             many.rate * 1e-9, 100 * many.of_limit,
             1e3 * static_cast<double>(copies.first().weight_bytes()) / one.rate, one.rate * 1e-9,
             100 * one.of_limit, copies.first().kernel_name(0));
}

}  // namespace
}  // namespace nibble::bench

// --benchmark_filter=TEXT, as google benchmark has it: only schemes whose name contains TEXT.
int main(int argc, char** argv) {
  using namespace nibble;
  constexpr std::string_view kFilter = "--benchmark_filter=";
  std::string_view filter;
  for (const std::string_view argument : std::span(argv, static_cast<size_t>(argc)).subspan(1)) {
    if (!argument.starts_with(kFilter)) return 64;
    filter = argument.substr(kFilter.size());
  }
  fmt::print("{}, {}\nk {}, n {}\n{:14} t {:>8} {:>7}   {:>7} {:>6} {:>7}   kernel\n", cpu().model,
             cpu().isa, bench::kInputs, bench::kOutputs, "", "256 rows", "of peak", "1 row ms",
             "GB/s", "of read");
  std::vector<int> all{1};
  if (default_threads() > 1) all.push_back(default_threads());
  for (const int threads : all) {
    const Roof roof = measure_roof(threads);
    fmt::print("{} threads: read {:.1f} GB/s, integer {:.0f} GOP/s, float {:.0f} GFLOP/s\n",
               threads, roof.bytes_per_second * 1e-9, roof.integer_ops_per_second * 1e-9,
               roof.floating_ops_per_second * 1e-9);
    for (const std::string scheme : bench::kSchemes) {
      if (scheme.find(filter) != std::string::npos) bench::measure(scheme, threads);
    }
  }
}
