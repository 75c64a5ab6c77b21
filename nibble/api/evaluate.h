// What a model's loss on a text is, and how far models are from each other.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "nibble/api/control.h"
#include "nibble/api/export.h"
#include "nibble/api/model.h"

namespace nibble::api {

/// How a text is read, as `nibble eval --help` explains it.
struct TextOptions {
  std::string text = {};             ///< path; empty: the names nibble brings along
  std::string protocol = "windows";  ///< or hf-stride, llama.cpp, gptq
  int64_t window = 0;                ///< tokens; 0: the protocol's own
  bool heldout = false;              ///< only what training held out, the last tenth
  uint64_t data_seed = 42;           ///< of the split into training and held-out lines
};

struct EvaluateOptions {
  OpenOptions in = {};       ///< the precision of the model
  TextOptions text = {};     ///< a path, and how it is cut
  std::string against = {};  ///< baseline, as it is stored; empty: none
  std::string kv = "f32";    ///< what keys and values are kept in
};

struct Evaluated {
  double loss = 0, standard_error = 0;  ///< nats a token; over sequences
  double perplexity = 0;
  int64_t tokens = 0;  ///< predicted
  /// KL(baseline || model) in nats and the share of tokens that both rank first, with a baseline.
  std::optional<double> kl_mean, top1_agreement;
  std::vector<std::string> warnings;
  std::string json;  ///< the document of `nibble eval --json`
};

/// `model` as Model::open() takes it. Throws Error.
NIBBLE_API Evaluated evaluate(const std::string& model, const EvaluateOptions& options = {},
                              const Control& control = {});

struct CompareOptions {
  std::vector<std::string> schemes = {};  ///< made of the first model, in memory
  std::optional<TextOptions> text = {};   ///< unset: names, or text that the model writes itself
  std::string prompt = {};                ///< what samples and timed generations begin with
  int runs = 0;                           ///< timed rounds; 0: enough of them
};

/// One comparison in three forms.
struct Compared {
  std::string json;  ///< the document of `nibble compare --json`
  std::string text;  ///< a table and verdicts for a terminal
  std::string html;  ///< one page that needs no other file
};

/// The first model is the baseline. Throws Error.
NIBBLE_API Compared compare(const std::vector<std::string>& models,
                            const CompareOptions& options = {}, const Control& control = {});

}  // namespace nibble::api
