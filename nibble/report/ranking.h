// Which of several files of one model to take: by what they hold, not by what they are called.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "nibble/eval/measurement.h"

namespace nibble {

/// What a model takes: bits a weight of its matrices, or bytes of its files.
using SizeOf = double (*)(const Measurement&);
double matrix_bits(const Measurement& m);
double file_size_of(const Measurement& m);

/// True where `a` is no larger and no farther from the baseline than `b`, and not the same in both.
bool beats(const Measurement& a, const Measurement& b, SizeOf size);
/// The first of the models (the baseline left out) that beats `m`; null where none does, or where
/// it was not measured.
const Measurement* beaten_by(const Measurement& m, const std::vector<Measurement>& models,
                             SizeOf size);

/// Indices of what was measured against the first model, closest first.
std::vector<size_t> ranking(const std::vector<Measurement>& models);

/// KL below which predictions count as close, in nats: llama-shakespeare in 4 bits by groups of 32
/// has half of it by gptq, in 3 bits twice as much (docs/quality.md).
inline constexpr double kCloseKl = 0.01;
/// The smallest file with less than kCloseKl; where none has, the closest of those that no other
/// beats. Nothing where fewer than two were measured.
std::optional<size_t> recommended(const std::vector<Measurement>& models);
/// "Take m.gguf (2.9 MiB, KL 0.002): the smallest that ..."; empty where nothing is recommended.
std::string recommendation(const std::vector<Measurement>& models);

/// The ranking for a terminal, with bits a weight of the whole file, KL of the mean and of 99.9 of
/// 100 tokens, and who beats whom; and the recommendation. Empty below two models.
std::string render_ranking(const std::vector<Measurement>& models, int width);

}  // namespace nibble
