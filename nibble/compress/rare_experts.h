// Experts that calibration sends few rows to. What they would read of all rows, each counted by the
// router's probability of sending it there, stands in for the rows that are missing (as MoEQuant
// counts tokens by their gates, arXiv 2505.03804).
#pragma once

#include <cstdint>
#include <vector>

#include "nibble/compress/site_statistics.h"

namespace nibble {

/// The rows that the router holds most probable for one expert.
class ProbableRows {
 public:
  /// `place` is an expert at the site that reads what was gathered for experts; `rows` stands in
  /// front of it, of whose samples the first ones are looked at.
  ProbableRows(const GroupPlace& place, SampleStream& rows, size_t samples);

  /// Of what the expert's first matrices read.
  InputStatistics first(bool hessian, int threads) const;
  /// Of what its last one reads, behind the first ones as they are now.
  InputStatistics last(const LinearGroup& first, LinearEnd end, bool hessian, int threads) const;

 private:
  InputStatistics statistics(std::vector<float> rows, int64_t k, bool hessian, int threads) const;
  int64_t inputs_;
  std::vector<float> rows_;     // [count, inputs]
  std::vector<double> shares_;  // [count], their mean is 1
};

/// Bytes that all of this takes, at most: while one expert is looked at, and what is kept of a
/// layer's experts until their last matrices' turn.
struct RareExpertBytes {
  int64_t work = 0, kept = 0;
};
RareExpertBytes rare_expert_bytes(const DecoderConfig& config, int64_t tokens, bool hessian);

/// Whether an expert saw fewer rows than its weights have inputs.
inline bool is_rare(const InputStatistics& own) { return own.rows < own.k; }

/// Fills the statistics of a rare expert up to as many rows as it has inputs (InputStatistics::
/// mixed). What says how rows differ from the original model's counts by as much less.
void fill_up(const InputStatistics& probable, InputStatistics& own);

}  // namespace nibble
