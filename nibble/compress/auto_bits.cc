#include "nibble/compress/auto_bits.h"

#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <optional>

#include "nibble/compress/finished_layers.h"
#include "nibble/compress/method_chain.h"
#include "nibble/compress/model_output.h"
#include "nibble/compress/provenance.h"
#include "nibble/compress/rescale_model.h"
#include "nibble/core/error.h"
#include "nibble/core/files.h"
#include "nibble/core/same_file.h"
#include "nibble/eval/perplexity.h"
#include "nibble/model/file_size.h"
#include "nibble/model/plain_model.h"
#include "nibble/model/write_gguf.h"
#include "nibble/quant/number.h"

namespace nibble {
namespace {

constexpr size_t kFrontier = 16;
// Samples that calibration does not see: some to search on, and some to prove the result.
constexpr int64_t kSearchSamples = 48, kTuneSamples = 16, kProofSamples = 32;
constexpr int kMostTries = 6;
// Text that the model writes is what it expects, and calibration has seen more of the kind: on
// other text KL was measured up to 1.26 times as large (docs/quality.md). Text from a file is like
// the rest of it.
constexpr double kOwnTextShare = 0.72, kFileShare = 0.95;
// One-sided, of 95 %: standard errors that KL may lie above what a search measured.
constexpr double kConfidence = 1.645;
// What a search is satisfied with, as a share of what it may reach.
constexpr double kCloseEnough = 0.96;
// gptq's and yaqa's; how much is right depends on how many rows calibration has for how many
// channels.
constexpr double kDampings[] = {0.03, 0.1, 0.3};

// What kBestMethod chooses from; a later one has to be better by more than chance.
constexpr std::string_view kMethods[] = {"yaqa", "awq+yaqa"};
constexpr double kClearlyBetter = 0.97;

QuantizeOptions options_for(const QuantizeOptions& base, const std::vector<MatrixCosts>& matrices,
                            const AutoChoice& choice) {
  QuantizeOptions out = base;
  for (size_t i = 0; i < matrices.size(); ++i)
    out.set.push_back({matrices[i].name, matrices[i].costs[choice.chosen[i]].scheme});
  return out;
}

Error too_small(const std::string& asked, const std::string& least) {
  return invalid_argument(
      fmt::format("{} cannot be reached: the least is {} (kept tensors count)", asked, least));
}

// The scheme of a matrix that takes most letters.
const QuantScheme& longest_spelled(const MatrixCosts& m) {
  const auto letters = [](const SchemeCost& c) { return to_string(c.scheme).size(); };
  return std::max_element(m.costs.begin(), m.costs.end(),
                          [&](const auto& a, const auto& b) { return letters(a) < letters(b); })
      ->scheme;
}

// What is said of how a file was made, at most: with the longest of everything, and room for what
// is only known when it is made.
int64_t provenance_room(const Model& model, QuantizeOptions options,
                        const std::vector<MatrixCosts>& matrices) {
  constexpr double kLongest = -1.2345678901234567e-100;
  constexpr size_t kText = 256, kSite = 256, kMore = 1024;
  QuantizeResult longest;
  longest.warnings = model.warnings;
  (void)plan_quantization(model, options, longest.warnings);
  longest.calibration = longest.calibration_hash = std::string(kText, ' ');
  for (const MatrixCosts& m : matrices) {
    options.set.push_back({m.name, longest_spelled(m)});
    longest.layers.push_back({m.name, -kLongest, -kLongest, -kLongest, false, ""});
  }
  const bool best = options.method == kBestMethod;
  const size_t sites = best ? 0 : parse_method_chain(options.method).steps.size() * matrices.size();
  return std::ssize(provenance(model, options, longest)) +
         static_cast<int64_t>(sites * kSite + kMore);
}

// Files of llama.cpp have no matrix in floats; neither have these.
QuantizeOptions for_output(const OutputTarget& target, QuantizeOptions options) {
  options.formats = {target.format};
  options.in_gguf = target.format.in_gguf;
  if (options.in_gguf && options.also.empty()) options.also = {"lm_head", "embeddings"};
  return options;
}

// A layout that has one scheme for all, or floats that nothing is chosen among, leaves no choice.
void require_choice(const OutputFormat& format) {
  if (format.layout == nullptr) return;
  const QuantScheme usual = parse_scheme(format.layout->usual_scheme);
  QuantScheme other = usual;
  other.group = usual.granularity == Granularity::group ? usual.group / 2 : 0;
  const bool steps = usual.is_integer() || number(usual).offsets;
  if (steps && (other == usual || format.layout->can_say({{"a", usual}, {"b", other}}))) return;
  throw invalid_argument(fmt::format(
      "`format` {}: every matrix has the same bits there, and there is nothing to choose",
      format.name));
}

void require_method(const std::string& name) {
  if (name == kBestMethod) return;
  try {
    (void)parse_method_chain(name);
  } catch (const Error& e) {
    throw invalid_argument(fmt::format("{}; or {}, on its own", e.what(), kBestMethod));
  }
}

class Search {
 public:
  Search(const std::string& in, const BitBudget& budget, const QuantizeOptions& base,
         const Exec& exec)
      : model_(quantization_source(in, base, exec.threads)),
        in_(in),
        budget_(budget),
        base_(base),
        exec_(exec) {}

  // What quantize_model() would refuse in the end.
  void require_possible() const {
    QuantizeOptions options = base_;
    if (options.method == kBestMethod) options.method = "rtn";
    if (!options.importance_file.empty())
      throw invalid_argument("`importance_file`: what bits cost is measured on a text");
    check_options(options);
    require_plans(model_, options);
  }

  // `folder`: null where `out` is a file.
  AutoResult run(const std::string& out, AtomicFolder* folder) {
    require_reachable();
    split_text();
    if (base_.method == kBestMethod) choose_method();
    const auto plans = plan_quantization(model_, base_, warnings_);
    result_.matrices = costs(plans);
    const Rest rest = rest_of(plans, result_.matrices, base_.scale_dtype);
    const BitChooser chooser(result_.matrices, rest);
    const int64_t least = chooser.extreme(false), most = chooser.extreme(true);
    for (size_t i = 0; i < kFrontier; ++i)
      result_.frontier.push_back(chooser.within(least + (most - least) * static_cast<int64_t>(i) /
                                                            static_cast<int64_t>(kFrontier - 1)));
    if (budget_.bits) choose(chooser, chooser.bytes_for(*budget_.bits));
    if (budget_.max_kl) search(chooser);
    if (budget_.max_size) fit(chooser, rest);
    if (!budget_.max_kl) tune(result_.choice);
    result_.options = options_for(base_, result_.matrices, result_.choice);
    Known all = known(result_.options);
    all.folder = folder;
    result_.written = quantize_model(in_, out, result_.options, exec_, all);
    if (budget_.max_size && result_.written.file_bytes > *budget_.max_size)
      result_.warnings.push_back(
          fmt::format("the file has {} bytes, above `max_size` {}: what it says of how it was made "
                      "is longer than was reckoned with",
                      result_.written.file_bytes, *budget_.max_size));
    prove(out);
    return std::move(result_);
  }

 private:
  // Of the model as the steps before the quantizer leave it.
  std::vector<MatrixCosts> costs(const std::vector<ParameterPlan>& plans) const {
    std::vector<std::unique_ptr<Model>> stages;
    std::vector<SiteReport> sites;
    const Model* now = &model_;
    const QuantizeOptions options = without_steps(base_);
    for (const std::string& step : parse_method_chain(base_.method).steps) {
      stages.push_back(
          std::make_unique<Model>(apply_step(step, *now, plans, options, seen_, sites, exec_)));
      now = stages.back().get();
    }
    return matrix_costs(*now, options, plans, seen_, exec_);
  }

  // A budget below the smallest model is refused before the hours of measuring.
  void require_reachable() {
    std::vector<std::string> said;
    const auto plans = plan_quantization(model_, base_, said);
    result_.matrices = matrix_sizes(base_, plans);
    const BitChooser chooser(result_.matrices, rest_of(plans, result_.matrices, base_.scale_dtype));
    const int64_t least = chooser.extreme(false);
    if (budget_.bits) require_bits(chooser, chooser.bytes_for(*budget_.bits));
    if (budget_.max_size && file_bytes(chooser.within(least)) > *budget_.max_size)
      throw too_small_a_size(chooser);
  }

  void require_bits(const BitChooser& chooser, int64_t bytes) const {
    const int64_t least = chooser.extreme(false);
    if (bytes < least)
      throw too_small(fmt::format("`bits` {}", *budget_.bits),
                      fmt::format("{:.2f}", chooser.bits(least)));
  }

  Error too_small_a_size(const BitChooser& chooser) const {
    return too_small(fmt::format("`max_size` {}", *budget_.max_size),
                     fmt::format("{} bytes", file_bytes(chooser.within(chooser.extreme(false)))));
  }

  void split_text() {
    const int64_t more = kProofSamples + (budget_.max_kl ? kSearchSamples : kTuneSamples);
    CalibrationText rest = held_out_text(model_, base_.calibration, more, exec_);
    seen_ = calibration_text(model_, base_.calibration, exec_);
    proof_ = all_scored({rest.samples.begin(), rest.samples.begin() + kProofSamples});
    search_ = all_scored({rest.samples.begin() + kProofSamples, rest.samples.end()});
  }

  void choose(const BitChooser& chooser, int64_t bytes) {
    require_bits(chooser, bytes);
    result_.choice = chooser.within(std::min(bytes, chooser.extreme(true)));
  }

  // The smallest model whose KL on the search's samples leaves room for what is not known of other
  // text: predictions are proportional to what is measured, so each try corrects the next.
  void search(const BitChooser& chooser) {
    const double share = base_.calibration.text.empty() ? kOwnTextShare : kFileShare;
    const double wanted = share * *budget_.max_kl;
    double aim = (1 + kCloseEnough) / 2 * wanted, lowest = 0;
    std::optional<AutoChoice> best;
    while (result_.tries < kMostTries) {
      const AutoChoice now = chooser.within(chooser.size_for(aim));
      if (best && now.bits_per_weight >= best->bits_per_weight) break;
      const double kl = result_.tries == 0 ? tune(now) : upper_kl(now, base_.tuning.damping);
      ++result_.tries;
      lowest = result_.tries == 1 ? kl : std::min(lowest, kl);
      if (kl <= wanted) best = now;
      if ((best && result_.tries >= kMostTries / 2) || (kl <= wanted && kl > kCloseEnough * wanted))
        break;
      aim *= (1 + kCloseEnough) / 2 * wanted / std::max(kl, 1e-12);
    }
    if (!best)
      throw invalid_argument(fmt::format(
          "`max_kl` {} cannot be met: {:.3g} is the least that was reached, and it has to be "
          "{:.3g} on samples of the calibration text to be safe on others",
          *budget_.max_kl, lowest, wanted));
    result_.choice = *best;
  }

  // By the KL of the whole model in the base's scheme.
  void choose_method() {
    double best = 0;
    base_.method.clear();
    for (const std::string_view name : kMethods) {
      QuantizeOptions options = base_;
      options.method = name;
      const double kl = upper_kl(options, fmt::format("method {}", name));
      if (!base_.method.empty() && kl > kClearlyBetter * best) continue;
      best = kl;
      base_.method = name;
    }
  }

  // Makes the choice with each damping and keeps the best in base_. Returns its KL as upper_kl().
  double tune(const AutoChoice& choice) {
    if (!method(parse_method_chain(base_.method).quantizer).second_order)
      return upper_kl(choice, 0);
    double best = -1;
    for (const double damping : kDampings) {
      const double kl = upper_kl(choice, damping);
      if (best >= 0 && kl >= best) continue;
      best = kl;
      base_.tuning.damping = damping;
    }
    return best;
  }

  double upper_kl(const AutoChoice& choice, double damping) {
    QuantizeOptions options = options_for(base_, result_.matrices, choice);
    if (damping > 0) options.tuning.damping = damping;
    return upper_kl(options, fmt::format("{:.2f} bits", choice.bits_per_weight));
  }

  // Gradients are asked for once, not by every try. Where a step changes the model first, it is
  // another model each time.
  Known known(const QuantizeOptions& options) {
    const MethodChain chain = parse_method_chain(options.method);
    if (!chain.steps.empty() || chain.trains ||
        method(chain.quantizer).needs != Calibration::fisher)
      return {&seen_};
    if (metrics_.empty())
      metrics_ = output_metrics(
          model_, seen_, {.bf16_width = options.bf16_width, .spill_folder = options.spill_folder},
          exec_);
    return {&seen_, &metrics_};
  }

  // What KL is at most on more text like the search's.
  double upper_kl(const QuantizeOptions& options, const std::string& what) {
    exec_.check_stop();
    const int64_t most = (budget_.max_kl ? kMostTries + 2 : std::ssize(kDampings)) +
                         static_cast<int64_t>(std::size(kMethods));
    exec_.report({"try", ++made_, most, what});
    Exec quiet = exec_;
    quiet.progress = nullptr;
    const Divergence d =
        divergence(quantize_in_memory(model_, options, quiet, known(options)), search_, quiet);
    return d.kl_mean + kConfidence * d.kl_standard_error;
  }

  Divergence divergence(const Model& made, const std::vector<ScoredSequence>& on,
                        const Exec& exec) const {
    const LinearOptions linear{.threads = exec.threads};
    const Decoder a = load_decoder(made, linear), b = load_decoder(model_, linear);
    return compare_models(logits_of(a), logits_of(b), on, exec, "verify").divergence;
  }

  // The largest choice whose files fit, headers and all.
  void fit(const BitChooser& chooser, const Rest& rest) {
    const int64_t fixed = rest.candidate_bytes + rest.other_bytes, least = chooser.extreme(false);
    int64_t bytes = std::min(*budget_.max_size - fixed, chooser.extreme(true));
    while (bytes >= least) {
      result_.choice = chooser.within(bytes);
      const int64_t over = file_bytes(result_.choice) - *budget_.max_size;
      if (over <= 0) return;
      bytes -= over;
    }
    throw too_small_a_size(chooser);
  }

  int64_t file_bytes(const AutoChoice& choice) const {
    std::vector<std::string> said;
    std::vector<WritableParameter> out;
    for (const ParameterPlan& p :
         plan_quantization(model_, options_for(base_, result_.matrices, choice), said))
      out.push_back({p.spec, p.written(), p.dtype, nullptr});
    if (base_.in_gguf) return planned_gguf_bytes(model_, out) + room();
    return planned_file_bytes(out, base_.formats.front().layout)
        .value();  // its schemes are ones that can be stored
  }

  // Reckoned once for each method: it reads all weights.
  int64_t room() const {
    if (room_ == 0 || room_of_ != base_.method) {
      room_ = provenance_room(model_, base_, result_.matrices);
      room_of_ = base_.method;
    }
    return room_;
  }

  void prove(const std::string& out) {
    const Divergence d = divergence(open_model(out), proof_, exec_);
    result_.measured_kl = d.kl_mean;
    result_.measured_kl_standard_error = d.kl_standard_error;
    if (budget_.max_kl && d.kl_mean > *budget_.max_kl)
      result_.warnings.push_back(
          fmt::format("KL {:.4g} on text that nothing was chosen by, above `max_kl` {}", d.kl_mean,
                      *budget_.max_kl));
  }

  const Model model_;
  const std::string in_;
  const BitBudget budget_;
  QuantizeOptions base_;
  const Exec& exec_;
  CalibrationText seen_;
  OutputMetrics metrics_;  // of model_ on seen_, where they have been needed
  std::vector<ScoredSequence> search_, proof_;
  std::vector<std::string> warnings_;
  AutoResult result_;
  int made_ = 0;
  mutable int64_t room_ = 0;
  mutable std::string room_of_;
};

}  // namespace

AutoResult auto_quantize(const std::string& in, const std::string& out, const BitBudget& budget,
                         const QuantizeOptions& base, const Exec& exec) {
  require_method(base.method);
  if (base.formats.size() > 1) throw invalid_argument("`format`: auto writes one");
  const OutputTarget target = output_targets(out, base.formats).front();
  require_choice(target.format);
  if (target.format.in_onnx && budget.max_size)
    throw invalid_argument("`max_size` is not reckoned for `format` onnx: give `bits` or `max_kl`");
  // What quantize_model() would refuse when all has been measured is refused now.
  const std::string inputs[] = {in, base.calibration.text};
  refuse_same_file(target.path, inputs);
  const QuantizeOptions options = for_output(target, base);
  Search search(in, budget, options, exec);
  search.require_possible();
  std::optional<AtomicFolder> folder;
  if (options.in_gguf)
    refuse_existing(target.path, options.force);
  else
    folder.emplace(target.path, options.force);
  FolderStore::refuse_foreign(resume_folder(target.path));
  return search.run(target.path, folder ? &*folder : nullptr);
}

}  // namespace nibble
