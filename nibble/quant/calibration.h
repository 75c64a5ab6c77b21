// InputStatistics: what calibration keeps of the input of one LinearGroup. No row is kept: the mean
// squared output error of a changed weight over all rows seen is tr(dW H dW^T), and H is here.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace nibble {

struct InputStatistics {
  int64_t k = 0;        ///< channels: the inputs of the weight
  int64_t rows = 0;     ///< finite rows seen
  int64_t refused = 0;  ///< rows left out because they held NaN or infinity
  /// Share of the sums that are not of those rows: of an expert that saw few, what all rows would
  /// give it, by the router's probabilities (compress/rare_experts.h).
  double mixed = 0;
  std::vector<float> absmax;        ///< [k], the largest magnitude of each channel
  std::vector<double> mean_square;  ///< [k], the diagonal of H
  std::vector<float> hessian;       ///< [k, k], H = mean of x x^T; empty where not asked for
  /// How the rows that a quantized model makes differ from the original model's rows y: mean of
  /// x (y - x)^T, [k, k]; empty where there is nothing to compare with.
  std::vector<float> cross;
  /// For a weight whose outputs are added to a residual stream: mean of x t^T, [k, p], t the
  /// outputs that would make that stream the original model's; empty otherwise. Stands for `cross`
  /// there.
  std::vector<float> target;
  int64_t target_width = 0;  ///< p

  /// Channels that were 0 in every row: calibration says nothing of their weights.
  int64_t dead_channels() const;
  /// Whether the sums are of anything.
  bool is_known() const { return rows > 0 || mixed > 0; }
};

/// What a user should know of rows that say too little: fewer rows than channels, channels never
/// active, rows left out. Empty where all is well.
std::string coverage_note(const InputStatistics& input);

/// Rows of calibration: what the weight will read, [m, k]; and, where those sums are wanted, what
/// it read in the original model [m, k], and the outputs that it should have [m, p].
struct CalibrationRows {
  std::span<const float> x, original, target;
};

/// Adds rows up. The sums are taken over blocks of a fixed number of rows, whatever the sizes of
/// the calls, so the result does not depend on threads.
class StatisticsCollector {
 public:
  struct Wanted {
    bool hessian = false, cross = false;
    int64_t target_width = 0;
  };
  StatisticsCollector(int64_t k, const Wanted& wanted);
  /// Rows that hold NaN or infinity are left out and counted.
  void add(const CalibrationRows& rows, int64_t m, int threads);
  /// The means over all rows. Nothing may be added afterwards.
  InputStatistics finish(int threads);

 private:
  // Copies rows behind those that are held.
  void hold(const CalibrationRows& rows, std::span<const size_t> which, int threads);
  void add_columns(int64_t begin, int64_t end);
  void flush(int threads);
  InputStatistics sums_;
  Wanted wanted_;
  std::vector<float> block_, difference_, target_;
  int64_t held_ = 0;
};

}  // namespace nibble
