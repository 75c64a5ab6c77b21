// Text in, trained model folder out: the data's split, training, checkpoints, the folder, what it
// reached.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "nibble/compress/quantize.h"
#include "nibble/core/exec.h"
#include "nibble/jobs/run_info.h"
#include "nibble/jobs/text.h"
#include "nibble/train/reference.h"
#include "nibble/train/trainer.h"

namespace nibble {

/// Quantization-aware training: what quantize() would quantize is fake-quantized while it is
/// trained, and stored in codes.
struct QatJob {
  std::string scheme;             ///< as QuantizeOptions; empty: none
  std::vector<std::string> set;   ///< PATTERN=SCHEME
  std::vector<std::string> keep;  ///< PATTERN[=DTYPE]
  std::vector<std::string> also;  ///< "lm_head", "embeddings"
  DType scale_dtype = DType::f16;
  /// The first step in which it is: where nothing is said 0, but a third of the way for random
  /// weights, whose step sizes would have to grow with them.
  std::optional<int64_t> begin;
  std::optional<double> scale_rate;
};

/// LoRA: thin matrices beside a model that stays as it is stored; a PEFT adapter is what is
/// written.
struct LoraJob {
  /// parse_lora(); empty: none, but for `adapter`.
  std::string options;
  std::string adapter;  ///< one to go on with, as read_peft_adapter() takes it
  /// A float model whose weights less those of the quantized base are what A and B begin with, as
  /// near as their rank allows (LoftQ, Li et al. 2023); as resolve_model() takes it.
  std::string loftq;

  bool asked() const { return !options.empty() || !adapter.empty(); }
};

struct TrainJob {
  std::string preset = "demo";
  /// What is trained instead, from random weights, on running text.
  std::optional<DecoderConfig> config;
  std::string config_file;  ///< where that was read
  std::string tokenizer;    ///< folder whose tokenizer it reads with; empty: characters
  std::string from;         ///< a model to go on with, as resolve_model() takes it; before `preset`
  Text text = names_text();
  std::optional<Text> heldout;  ///< unset: the last tenth of `text`
  std::string data;  ///< of the preset mlp: folder with MNIST's IDX files; empty: random weights
  std::string out;   ///< folder to make; empty: train and tell, write nothing

  std::optional<int64_t> steps, batch, warmup_steps;
  int64_t accumulate = 1;  ///< batches of a step, one after another
  int64_t window = 0;      ///< tokens of a sequence; 0: the context, at most 256 of `from`
  std::optional<double> learning_rate, weight_decay, clip_norm, final_fraction, beta1, beta2;
  std::string schedule;             ///< "linear", "cosine", "constant"; empty: the preset's
  std::vector<std::string> freeze;  ///< patterns of parameters that stay as they are
  bool recompute = false, bf16 = false;
  double expert_balance = 0;  ///< coefficient of the experts' balance loss
  QatJob qat;
  LoraJob lora;
  std::string distill;  ///< a model whose probabilities are learnt, as resolve_model() takes it
  double distill_share = 1;
  double corrupt = 0;      ///< share of the tokens read that are random ones, beside a teacher
  int64_t eval_every = 0;  ///< steps between two looks at the held-out part; 0: a tenth of all
  int64_t patience = 0;    ///< looks without a better loss until it stops; 0: it does not

  uint64_t seed = 42;       ///< of weights and batches
  uint64_t data_seed = 42;  ///< of the split
  int samples = 10;
  double temperature = 0.5;
  bool force = false;
  bool resume = false;             ///< go on from OUT.resume
  double checkpoint_seconds = 20;  ///< between two checkpoints
  int64_t checkpoint_every = 0;    ///< steps between two; 0: by time only
  std::string log;                 ///< file for a JSON object a line: steps and looks; empty: none
  std::string command;             ///< the command line, for nibble.json
};

struct TrainSummary {
  RunInfo run;
  DecoderConfig config;
  int64_t parameters = 0, steps = 0, batch = 0;
  int64_t adapter_parameters = 0;  ///< where an adapter is what was trained
  uint64_t seed = 0;
  int64_t train_sequences = 0, heldout_sequences = 0;
  int64_t train_tokens = 0;
  double train_loss = 0;    ///< final_loss()
  double heldout_loss = 0;  ///< nats a token, of the model as it is written
  double heldout_standard_error = 0;
  double seconds = 0, tokens_per_second = 0;
  std::vector<float> losses;
  std::vector<HeldoutLook> looks;  ///< at the held-out part, the first before the first step
  bool stopped_early = false;      ///< the weights are those of the best look
  bool distilled = false;          ///< looks and losses are of the divergence from a teacher
  double teacher_loss = 0;         ///< of the teacher on the held-out part; 0: there is none
  double bits_per_weight = 0;      ///< where it is quantized
  std::vector<std::string> samples;
  std::string resumed_from;  ///< the checkpoint, where there was one
  std::vector<std::string> warnings;
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
