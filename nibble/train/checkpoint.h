// Checkpoints of a training run. docs/training.md describes the bytes.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace nibble {

/// Everything a run needs to go on. The spans of a loaded one point into `file`.
struct Checkpoint {
  std::string options;     ///< a canonical text of all options: another one is another run
  uint64_t data_hash = 0;  ///< of the training sequences
  int64_t step = 0, tokens = 0;
  double seconds = 0;
  std::span<const float> losses, weights, first, second;
  std::span<const float> state;             ///< TrainedParts::state()
  std::span<const float> looks;             ///< HeldoutLook, four numbers each
  std::span<const float> best, best_state;  ///< weights and state of the best look, or nothing

  std::string file;
};

/// Atomic. Where `rotate`, an existing PATH becomes PATH.previous; otherwise it is replaced, for
/// the case that PATH is known to be damaged and PATH.previous is the good one.
void write_checkpoint(const std::string& path, const Checkpoint& checkpoint, bool rotate);

/// Error{corrupt} where the bytes are damaged or not a checkpoint, or where options, data or the
/// number of parameters are not those expected; Error{not_found} where there is no file.
Checkpoint read_checkpoint(const std::string& path, std::string_view options, uint64_t data_hash,
                           int64_t parameters);

/// Error{io, cannot_create} where `path` or PATH.previous, which a run is going to replace and then
/// remove, is there and is no checkpoint of nibble.
void refuse_foreign_checkpoint(const std::string& path);

/// FNV-1a over the ids and the lengths of all sequences.
uint64_t hash_sequences(const std::vector<std::vector<int32_t>>& data);

}  // namespace nibble
