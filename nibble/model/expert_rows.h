// ExpertRows: which rows go to which experts, and the weights with which they come back (Shazeer et
// al. 2017; Fedus et al. 2022).
#pragma once

#include <cstdint>
#include <span>

#include "nibble/model/layer_plan.h"

namespace nibble {

/// A number for each expert, or nothing: Role::router_correction and Role::expert_scale.
template <class T>
struct ExpertNumbers {
  std::span<const float> correction = {};
  std::span<const T> scale = {};
};
/// Chooses the experts of one row of `routing` from the logits in it, which become scores: as
/// RouterConfig has it.
template <class T>
void choose_experts(const ExpertPlan& plan, const ExpertNumbers<T>& numbers, T* routing);
/// The experts chosen, and their weights, in a row of `routing`.
template <class T>
const T* chosen_experts(const ExpertPlan& plan, const T* routing) {
  return routing + plan.experts;
}
template <class T>
const T* expert_weights(const ExpertPlan& plan, const T* routing) {
  return routing + plan.experts + plan.chosen;
}

/// A row for each (row of the stream, expert of it), those of one expert together and in the order
/// of the stream.
struct ExpertRows {
  int32_t* starts = nullptr;   ///< [experts + 1]: expert e has the rows [starts[e], starts[e + 1])
  int32_t* sources = nullptr;  ///< [rows * chosen]: the row of the stream that one is of
  int32_t* places = nullptr;   ///< [rows * chosen]: where (row, choice) is

  static int64_t count(int64_t rows, int64_t experts, int64_t chosen) {
    return experts + 1 + 2 * rows * chosen;
  }
  /// Lies in `memory` of count() elements.
  ExpertRows() = default;
  ExpertRows(int32_t* memory, int64_t rows, int64_t experts, int64_t chosen)
      : starts(memory), sources(starts + experts + 1), places(sources + rows * chosen) {}
  /// From what each of m rows chose.
  template <class T>
  void find(const ExpertPlan& plan, const T* routing, int64_t m);
};

}  // namespace nibble
