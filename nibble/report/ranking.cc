#include "nibble/report/ranking.h"

#include <fmt/format.h>

#include <algorithm>

#include "nibble/report/model_fields.h"
#include "nibble/report/numbers.h"
#include "nibble/report/text.h"

namespace nibble {
namespace {

bool was_ranked(const Measurement& m) { return m.tokens > 0 && m.divergence.kl_mean >= 0; }

std::string size_words(const Measurement& m) {
  return fmt::format("{}, KL {}", format_bytes(m.file_bytes),
                     format_significant(m.divergence.kl_mean));
}

// One that goes further than what is recommended, where that makes sense to somebody.
const Measurement* next_smaller(const std::vector<Measurement>& models, const Measurement& taken) {
  const Measurement* best = nullptr;
  for (const size_t i : ranking(models)) {
    const Measurement& m = models[i];
    if (m.file_bytes >= taken.file_bytes || beaten_by(m, models, file_size_of)) continue;
    if (best == nullptr || m.file_bytes > best->file_bytes) best = &m;
  }
  return best;
}

// Of one that beats another.
std::string_view advantage(const Measurement& better, const Measurement& m) {
  if (better.file_bytes == m.file_bytes) return "as small and closer";
  return better.divergence.kl_mean < m.divergence.kl_mean ? "smaller and closer"
                                                          : "smaller and as close";
}

}  // namespace

double matrix_bits(const Measurement& m) { return m.bits_per_weight; }
double file_size_of(const Measurement& m) { return static_cast<double>(m.file_bytes); }

bool beats(const Measurement& a, const Measurement& b, SizeOf size) {
  const double larger = size(a) - size(b), farther = a.divergence.kl_mean - b.divergence.kl_mean;
  return larger <= 0 && farther <= 0 && (larger < 0 || farther < 0);
}

const Measurement* beaten_by(const Measurement& m, const std::vector<Measurement>& models,
                             SizeOf size) {
  if (m.tokens <= 0) return nullptr;
  for (size_t i = 1; i < models.size(); ++i) {
    if (models[i].tokens > 0 && beats(models[i], m, size)) return &models[i];
  }
  return nullptr;
}

std::vector<size_t> ranking(const std::vector<Measurement>& models) {
  std::vector<size_t> out;
  for (size_t i = 1; i < models.size(); ++i) {
    if (was_ranked(models[i])) out.push_back(i);
  }
  std::stable_sort(out.begin(), out.end(), [&](size_t a, size_t b) {
    return models[a].divergence.kl_mean < models[b].divergence.kl_mean;
  });
  return out;
}

std::optional<size_t> recommended(const std::vector<Measurement>& models) {
  const std::vector<size_t> order = ranking(models);
  if (order.size() < 2) return std::nullopt;
  size_t best = order[0];
  for (const size_t i : order) {
    const Measurement& m = models[i];
    if (m.divergence.kl_mean < kCloseKl && m.file_bytes < models[best].file_bytes) best = i;
  }
  return best;
}

std::string recommendation(const std::vector<Measurement>& models) {
  const auto taken = recommended(models);
  if (!taken) return "";
  const Measurement& m = models[*taken];
  std::string out =
      fmt::format("Take {} ({}): {}", display_text(m.name), size_words(m),
                  m.divergence.kl_mean < kCloseKl
                      ? fmt::format("the smallest that stays close, with a KL below {}", kCloseKl)
                      : fmt::format("the closest; none has a KL below {}", kCloseKl));
  if (const Measurement* further = next_smaller(models, m))
    out += fmt::format(". Where it must be smaller: {} ({})", display_text(further->name),
                       size_words(*further));
  return out;
}

std::string render_ranking(const std::vector<Measurement>& models, int width) {
  const std::vector<size_t> order = ranking(models);
  if (order.size() < 2) return "";
  std::vector<ModelRow> rows;
  rows.reserve(order.size());
  for (const size_t i : order) rows.push_back({models[i], models.front()});
  std::string out = fmt::format("Closest to {} first; bits are those of the whole file:\n",
                                display_text(models.front().name)) +
                    fields_table(model_fields(),
                                 {{"name"},
                                  {"kl_mean", 0},
                                  {"kl_p999", 3},
                                  {"file_bits_per_weight", 2},
                                  {"file_bytes", 0},
                                  {"decode_tokens_per_second", 4}},
                                 rows, width);
  for (const size_t i : order) {
    if (const Measurement* other = beaten_by(models[i], models, file_size_of))
      out += fmt::format("{}: beaten by {}, which is {}\n", display_text(models[i].name),
                         display_text(other->name), advantage(*other, models[i]));
  }
  return out + recommendation(models) + "\n";
}

}  // namespace nibble
