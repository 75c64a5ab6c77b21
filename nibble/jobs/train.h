// Text in, trained model folder out: the data's split, training, checkpoints, the folder, what it
// reached.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "nibble/core/exec.h"
#include "nibble/jobs/text.h"
#include "nibble/train/reference.h"
#include "nibble/train/trainer.h"

namespace nibble {

struct TrainJob {
  std::string preset = "demo";
  /// What is trained instead, on running text, as the preset char is.
  std::optional<DecoderConfig> config;
  Text text = names_text();
  std::string data;  ///< of the preset mlp: folder with MNIST's IDX files; empty: random weights
  std::string out;   ///< folder to make; empty: train and tell, write nothing
  std::optional<int64_t> steps, batch;
  uint64_t seed = 42;       ///< of weights and batches
  uint64_t data_seed = 42;  ///< of the split
  int samples = 10;
  double temperature = 0.5;
  bool force = false;
  bool resume = false;             ///< go on from OUT.resume
  double checkpoint_seconds = 20;  ///< between two checkpoints
  int64_t checkpoint_every = 0;    ///< steps between two; 0: by time only
};

struct TrainSummary {
  DecoderConfig config;
  int64_t parameters = 0, steps = 0, batch = 0;
  uint64_t seed = 0;
  int64_t train_sequences = 0, heldout_sequences = 0;
  double train_loss = 0;    ///< final_loss()
  double heldout_loss = 0;  ///< nats a token
  double heldout_standard_error = 0;
  double seconds = 0, tokens_per_second = 0;
  std::vector<float> losses;
  std::vector<std::string> samples;
  std::string resumed_from;  ///< the checkpoint, where there was one
};

/// Trains and writes job.out. While it runs, its state lies in OUT.resume (written on a stop signal
/// as well); it is removed on success. Errors before any work where OUT cannot be made or exists
/// without force.
TrainSummary train(const TrainJob& job, const Exec& exec);

/// microgpt.py digit by digit, and its model as a folder (job.preset, batch and resume do not
/// apply).
ReferenceResult train_reference(const TrainJob& job, const Exec& exec);

/// Mean over the last 100 steps, or over all where there are fewer.
double final_loss(const std::vector<float>& losses);

struct ClassifierSummary {
  int64_t parameters = 0, steps = 0, batch = 0;  ///< no steps where the weights are random
  uint64_t seed = 0;
  double train_loss = 0;  ///< final_loss()
  double seconds = 0, images_per_second = 0;
  double train_accuracy = -1, test_accuracy = -1;  ///< 0..1; negative without labels
};
/// The 784-512-512-10 classifier on MNIST. Error{invalid_argument} for job.resume: it keeps no
/// checkpoint.
ClassifierSummary train_classifier(const TrainJob& job, const Exec& exec);

}  // namespace nibble
