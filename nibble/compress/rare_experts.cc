#include "nibble/compress/rare_experts.h"

#include <algorithm>
#include <cmath>

#include "nibble/nn/workspace.h"

namespace nibble {
namespace {

// Of the most probable rows so many for each input: the others count for little.
constexpr int64_t kRowsForEachInput = 4;

struct Candidate {
  float probability;
  size_t sample;
  int64_t row;
};

std::vector<Candidate> probable_candidates(const GroupPlace& place, SampleStream& rows,
                                           size_t samples) {
  std::vector<Candidate> out;
  for (size_t s = 0; s < samples; ++s) {
    rows.with_input(s, [&](const std::vector<float>& kept) {
      const SiteInput input(place.plan, place.index, kept);
      for (int64_t r = 0; r < input.rows(); ++r) {
        const float p = input.probability(r, place.expert);
        if (std::isfinite(p) && p > 0) out.push_back({p, s, r});
      }
    });
  }
  return out;
}

// Those that count, in the order of the text.
void keep_most_probable(size_t count, std::vector<Candidate>& all) {
  if (all.size() <= count) return;
  const auto better = [](const Candidate& a, const Candidate& b) {
    return a.probability != b.probability ? a.probability > b.probability
                                          : std::pair(a.sample, a.row) < std::pair(b.sample, b.row);
  };
  std::nth_element(all.begin(), all.begin() + static_cast<std::ptrdiff_t>(count), all.end(),
                   better);
  all.resize(count);
  std::sort(all.begin(), all.end(), [](const Candidate& a, const Candidate& b) {
    return std::pair(a.sample, a.row) < std::pair(b.sample, b.row);
  });
}

void mix(double own_share, std::span<const float> other, std::vector<float>& own) {
  for (size_t i = 0; i < own.size(); ++i)
    own[i] = static_cast<float>(own_share * double{own[i]} + (1 - own_share) * double{other[i]});
}

}  // namespace

ProbableRows::ProbableRows(const GroupPlace& place, SampleStream& rows, size_t samples)
    : inputs_(place.site().inputs) {
  std::vector<Candidate> chosen = probable_candidates(place, rows, samples);
  keep_most_probable(static_cast<size_t>(kRowsForEachInput * inputs_), chosen);
  double sum = 0;
  for (const Candidate& c : chosen) sum += double{c.probability};
  for (size_t s = 0, at = 0; s < samples && at < chosen.size(); ++s) {
    rows.with_input(s, [&](const std::vector<float>& kept) {
      const SiteInput input(place.plan, place.index, kept);
      for (; at < chosen.size() && chosen[at].sample == s; ++at) {
        const auto row = input.of_row(chosen[at].row);
        rows_.insert(rows_.end(), row.begin(), row.end());
        shares_.push_back(double{chosen[at].probability} * static_cast<double>(chosen.size()) /
                          sum);
      }
    });
  }
}

// A row that counts s times adds s x x^T.
InputStatistics ProbableRows::statistics(std::vector<float> rows, int64_t k, bool hessian,
                                         int threads) const {
  for (size_t r = 0; r < shares_.size(); ++r) {
    const auto by = static_cast<float>(std::sqrt(shares_[r]));
    for (int64_t i = 0; i < k; ++i) rows[r * static_cast<size_t>(k) + static_cast<size_t>(i)] *= by;
  }
  StatisticsCollector collector(k, {hessian, false, 0});
  if (!shares_.empty()) collector.add({rows, {}, {}}, std::ssize(shares_), threads);
  return collector.finish(threads);
}

InputStatistics ProbableRows::first(bool hessian, int threads) const {
  return statistics(rows_, inputs_, hessian, threads);
}

InputStatistics ProbableRows::last(const LinearGroup& first, LinearEnd end, bool hessian,
                                   int threads) const {
  const int64_t m = std::ssize(shares_), k = first.outputs(first.size() - 1);
  std::vector<std::vector<float>> made(first.size(),
                                       std::vector<float>(static_cast<size_t>(m * k)));
  if (m == 0) return statistics({}, k, hessian, threads);
  std::vector<float*> y;
  y.reserve(made.size());
  for (std::vector<float>& each : made) y.push_back(each.data());
  Workspace workspace;
  std::byte* const products =
      workspace.buffers[0].get<std::byte>(first.workspace_bytes(m, threads));
  run_team(threads, [&](Team& team) {
    first.forward(rows_.data(), m, {y, nullptr, end}, products, team);
  });
  return statistics(std::move(made.back()), k, hessian, threads);
}

RareExpertBytes rare_expert_bytes(const DecoderConfig& c, int64_t tokens, bool hessian) {
  if (c.experts == 0) return {};
  const int64_t width = c.hidden_size, inner = expert_size(c),
                rows = std::min(tokens, kRowsForEachInput * width);
  RareExpertBytes out;
  out.work = 4 * rows * (2 * width + 3 * inner);  // as they are, by their shares; products of both
  if (!hessian) return out;
  out.work += 4 * (width * width + inner * inner);
  out.kept = 4 * c.experts * inner * inner;
  return out;
}

void fill_up(const InputStatistics& probable, InputStatistics& own) {
  if (!is_rare(own) || probable.rows == 0) return;
  const double share = static_cast<double>(own.rows) / static_cast<double>(own.k);
  own.mixed = 1 - share;
  for (size_t i = 0; i < own.absmax.size(); ++i) {
    own.absmax[i] = std::max(own.absmax[i], probable.absmax[i]);
    own.mean_square[i] = share * own.mean_square[i] + own.mixed * probable.mean_square[i];
  }
  mix(share, probable.hessian, own.hessian);
  for (float& v : own.cross) v *= static_cast<float>(share);
}

}  // namespace nibble
