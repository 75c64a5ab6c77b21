// The adapter that a job trains: which matrices it changes, and the PEFT adapter that comes of it.
#pragma once

#include <string>
#include <vector>

#include "nibble/format/peft_adapter.h"
#include "nibble/jobs/train.h"
#include "nibble/model/model.h"
#include "nibble/train/lora_parts.h"

namespace nibble {

/// How an adapter is asked for: "r=8,alpha=16,targets=q_proj+v_proj,dropout=0.05,rslora".
struct LoraChoice {
  int64_t rank = 8;
  double alpha = 16, dropout = 0;
  bool rank_stabilized = false;
  std::vector<std::string> targets;  ///< ends of paths of modules; empty: all-linear
  bool shaped = false;               ///< something but the dropout was said
};
/// Error{invalid_argument} for a word that is none of these.
LoraChoice parse_lora(const std::string& text);

struct LoraPlan {
  PeftConfig config;
  LoraOptions options;
  std::string described;  ///< tells it from other plans over the same base
};

/// "all-linear" is every matrix inside the layers but experts' and routers, which transformers
/// holds in no Linear. Error{invalid_argument} for targets that name nothing, and for a shape
/// beside an adapter that has one; Error{unsupported} for an adapter that changes more than such
/// matrices.
LoraPlan plan_lora(const TrainJob& job, const Model& model);

PeftAdapter trained_adapter(const LoraPlan& plan, const TrainResult& result);

}  // namespace nibble
