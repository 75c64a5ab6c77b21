// `nibble train`: what was reached.
#pragma once

#include <string>

#include "nibble/jobs/train.h"

namespace nibble {

std::string render_terminal(const TrainJob& job, const TrainSummary& result);
std::string train_json(const TrainJob& job, const TrainSummary& result);

std::string render_terminal(const TrainJob& job, const ReferenceResult& result);
std::string train_json(const TrainJob& job, const ReferenceResult& result);

std::string render_terminal(const TrainJob& job, const ClassifierSummary& result);
std::string train_json(const TrainJob& job, const ClassifierSummary& result);

}  // namespace nibble
