#include "nibble/compress/given_importance.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <set>

#include "nibble/compress/calibrated_weight.h"
#include "nibble/compress/method_chain.h"
#include "nibble/compress/prepare.h"
#include "nibble/core/counted.h"
#include "nibble/core/error.h"
#include "nibble/core/files.h"
#include "nibble/core/hash.h"
#include "nibble/core/in_file.h"
#include "nibble/core/posix.h"
#include "nibble/model/gguf_names.h"

namespace nibble {
namespace {

// Weights that share an entry: the experts of a stack.
using Stacks = std::map<std::string, int64_t, std::less<>>;

Stacks stacks_of(const std::vector<ParameterPlan>& plans) {
  Stacks out;
  for (const ParameterPlan& p : plans) {
    if (p.spec.bias || p.spec.shape.rank() < 2) continue;
    int64_t& rows = out[gguf_name(p.spec)];
    rows = std::max<int64_t>(rows, p.spec.expert + 1);
  }
  for (auto& [name, rows] : out) rows = std::max<int64_t>(rows, 1);
  return out;
}

// Counts of one, or of each of the stack.
void require_fit(const ParamSpec& spec, const ImportanceEntry& entry, int64_t rows) {
  const int64_t k = spec.shape[1];
  const auto at = [&](Error e) { return std::move(e).at("entry " + in_quotes(gguf_name(spec))); };
  if (std::ssize(entry.sums) != k * rows)
    throw at(corrupt(fmt::format("{} values, but {} has {}{}: it was made for another model",
                                 entry.sums.size(), in_quotes(spec.name), counted(k, "input"),
                                 rows > 1 ? fmt::format(" in each of {} experts", rows) : "")));
  const auto counts = std::ssize(entry.counts);
  if (counts != 1 && counts != rows)
    throw at(corrupt(
        fmt::format("{} for {}", counted(counts, "count"), counted(rows, "matrix", "matrices"))));
}

void note_unfit(const ImportanceFile& file, const Stacks& stacks, const std::string& name,
                std::vector<std::string>& warnings) {
  constexpr size_t kNamed = 3;
  std::vector<std::string> unfit;
  for (const auto& [entry, values] : file.entries) {
    if (!stacks.contains(entry)) unfit.push_back(in_quotes(entry));
  }
  if (unfit.empty()) return;
  const auto count = std::ssize(unfit);
  unfit.resize(std::min(unfit.size(), kNamed));
  warnings.push_back(fmt::format("{}: {} of its {} {} no weight of this model: {}{}", name, count,
                                 counted(std::ssize(file.entries), "entry", "entries"),
                                 count == 1 ? "fits" : "fit", fmt::join(unfit, ", "),
                                 count > std::ssize(unfit) ? ", ..." : ""));
}

bool is_wanted(const ParameterPlan& p) { return p.scheme.has_value() && is_walked(p.spec); }

}  // namespace

void require_importance_method(const QuantizeOptions& options) {
  if (options.importance_file.empty()) return;
  const MethodChain chain = parse_method_chain(options.method);
  const Method& quantizer = method(chain.quantizer);
  constexpr std::string_view kInstead = "use `method` imatrix, or leave `importance_file` out";
  if (!chain.steps.empty())
    throw invalid_argument(
        fmt::format("`importance_file` says what inputs are like that {} changes: {}",
                    fmt::join(chain.steps, ", "), kInstead));
  if (chain.trains)
    throw invalid_argument(
        fmt::format("`importance_file` says nothing that qat could learn from: {}", kInstead));
  if (quantizer.needs > Calibration::absmax)
    throw invalid_argument(fmt::format(
        "`importance_file` has one number for each input, and {} needs to know how inputs go "
        "together: {} and give a text with `calibration_text`",
        options.method, kInstead));
  if (quantizer.needs == Calibration::nothing)
    throw invalid_argument(
        fmt::format("`importance_file` weighs inputs, and {} treats them all alike: {}",
                    options.method, kInstead));
}

GivenImportance::GivenImportance(const std::string& path, const std::vector<ParameterPlan>& plans,
                                 std::vector<std::string>& warnings)
    : file_(read_importance(path)) {
  source_ = {split_path(path).name, std::ssize(file_.entries), file_.chunks, file_.chunk_size,
             bytes_hash(read_file(path))};
  naming_file(path, [&] {
    const Stacks stacks = stacks_of(plans);
    int64_t found = 0, wanted = 0;
    for (const ParameterPlan& p : plans) {
      if (!is_wanted(p)) continue;
      ++wanted;
      const auto entry = file_.entries.find(gguf_name(p.spec));
      if (entry == file_.entries.end()) continue;
      require_fit(p.spec, entry->second, stacks.at(entry->first));
      ++found;
    }
    if (wanted > 0 && found == 0)
      throw corrupt(fmt::format(
          "none of its {} is for a weight that is quantized ({}, ...): it was "
          "made for another model",
          counted(source_.entries, "entry", "entries"), in_quotes(file_.entries.begin()->first)));
    note_unfit(file_, stacks, in_quotes(source_.name), warnings);
  });
}

InputStatistics GivenImportance::statistics(const ParamSpec& spec) const {
  InputStatistics out;
  out.k = out.rows = spec.shape[1];
  const auto found = file_.entries.find(gguf_name(spec));
  if (found == file_.entries.end()) {
    out.mean_square.assign(static_cast<size_t>(out.k), 1);
    return out;
  }
  const ImportanceEntry& e = found->second;
  const auto expert = static_cast<size_t>(std::max(spec.expert, 0));
  const double count = e.counts[e.counts.size() == 1 ? 0 : expert];
  if (file_.counts_rows) out.rows = static_cast<int64_t>(std::min(count, 1e15));
  for (size_t i = 0; i < static_cast<size_t>(out.k); ++i) {
    const double sum = e.sums[expert * static_cast<size_t>(out.k) + i];
    out.mean_square.push_back(count > 0 ? sum / count : 0);
  }
  return out;
}

bool GivenImportance::has(const ParamSpec& spec) const {
  return file_.entries.contains(gguf_name(spec));
}

std::string GivenImportance::note(const ParamSpec& spec) const {
  if (has(spec)) return coverage_note(statistics(spec));
  return fmt::format("no entry in {}: all its inputs count alike", in_quotes(source_.name));
}

std::string GivenImportance::description() const {
  std::string out = printable(source_.name);
  if (source_.chunks) out += ", " + counted(*source_.chunks, "chunk");
  if (source_.chunks && source_.chunk_size) out += " of " + counted(*source_.chunk_size, "token");
  return out;
}

void quantize_by_importance(const Model& model, const std::vector<ParameterPlan>& plans,
                            const QuantizeOptions& options, const GivenImportance& importance,
                            LayerStore& store, const Exec& exec) {
  std::map<int, std::vector<const ParameterPlan*>> layers;
  const int64_t total = std::count_if(plans.begin(), plans.end(), is_wanted);
  for (const ParameterPlan& p : plans) {
    if (is_wanted(p)) layers[p.spec.layer].push_back(&p);
  }
  int64_t count = 0;
  for (const auto& [layer, of_layer] : layers) {
    count += std::ssize(of_layer);
    if (store.has(layer)) continue;
    std::vector<FinishedWeight> finished;
    for (const ParameterPlan* p : of_layer) {
      exec.check_stop();
      const Tensor w = load_weight(model, p->spec).plain();
      finished.push_back(calibrated_weight({w, *p, options, importance.statistics(p->spec)},
                                           importance.note(p->spec), exec.threads));
      LayerReport& report = finished.back().report;
      if (!importance.has(p->spec)) report.error = report.rtn_error = -1;  // of other units
      model.weights->release(p->spec.name);
      exec.report({"quantize", count - std::ssize(of_layer) + std::ssize(finished), total,
                   describe(report)});
    }
    store.put(layer, std::move(finished));
  }
}

}  // namespace nibble
