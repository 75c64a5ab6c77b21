// SiteInput: what a site of a layer reads of one sequence, as calibration keeps it between steps:
// the rows themselves, and behind them whatever else later steps will read.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "nibble/model/expert_rows.h"

namespace nibble {

/// The steps of a layer around one of its sites.
struct SiteSteps {
  size_t begin = 0;  ///< from here the site's input follows from the stream, or from `before`
  size_t at = 0;     ///< it multiplies
  size_t end = 0;  ///< behind `at`, where the stream is all that is left; `at`: nowhere before the
                   ///< next site
  bool before = false;  ///< the input of the site ahead is needed
  bool adds = false;    ///< its products are added to the stream as they are
};
std::vector<SiteSteps> site_steps(const LayerPlan& plan);

/// Floats that are kept of one row in front of a site, at most in any layer.
int64_t kept_floats(const LayerPlan& plan, size_t site);
int64_t most_kept_floats(const DecoderConfig& config);

/// Refers to a plan and to what was kept of a sequence in front of one of its sites.
class SiteInput {
 public:
  SiteInput(const LayerPlan& plan, size_t site, std::span<const float> kept);
  /// Rows of the sequence.
  int64_t rows() const { return rows_; }
  /// [rows, inputs]: what one copy of the site's members reads.
  std::span<const float> of(int64_t expert) const;
  /// What a row of the sequence gives to its experts.
  std::span<const float> of_row(int64_t row) const;
  /// With which the router sends a row to an expert (chosen or not): its score.
  float probability(int64_t row, int64_t expert) const;
  /// The rows of the sequence that of(expert) are; empty where they are all.
  std::span<const int32_t> sources(int64_t expert) const;

 private:
  const Site& site_;
  std::span<const float> kept_;
  int64_t rows_;
  const float* routing_ = nullptr;  // where there are experts, [rows, routing_width_]
  int64_t routing_width_ = 0;
  std::vector<int32_t> memory_;  // of experts_
  ExpertRows experts_;
};

}  // namespace nibble
