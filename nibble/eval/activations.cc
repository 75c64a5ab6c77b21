#include "nibble/eval/activations.h"

#include <algorithm>
#include <map>
#include <string>

#include "nibble/model/layer_runner.h"

namespace nibble {
namespace {

class Collector {
 public:
  Collector(const Model& model, int64_t limit, const Exec& exec)
      : config_(model.decoder_config()),
        table_(parameter_table(config_)),
        limit_(limit),
        exec_(exec),
        runner_(config_, [&model](const ParamSpec& p) { return load_weight(model, p); }) {}

  void read(const std::vector<std::vector<int32_t>>& sequences) {
    int64_t seen = 0;
    for (const auto& s : sequences) {
      if (seen >= limit_) break;
      if (s.size() < 2) continue;
      streams_.push_back(runner_.embed(std::span(s).first(s.size() - 1)));
      seen += std::ssize(s) - 1;
    }
    for (int i = 0; i < config_.layers; ++i) {
      const Layer layer = runner_.layer(i, {.threads = exec_.threads});
      for (auto& x : streams_) through(layer, i, x);
      exec_.check_stop();
    }
    const Site head = head_plan(config_).sites[0];
    for (auto& x : streams_) {
      runner_.final_norm(x);
      keep(config_.tied ? "lm_head (tied)" : find_parameter(table_, {Role::lm_head})->name, x,
           head.inputs);
    }
  }

  std::vector<OutlierStats> outliers(double sigmas) const {
    std::vector<OutlierStats> out;
    for (const auto& [name, input] : inputs_) {
      const auto k = static_cast<size_t>(input.width), m = input.rows.size() / k;
      std::vector<float> by_channel(input.rows.size());
      for (size_t r = 0; r < m; ++r) {
        for (size_t c = 0; c < k; ++c) by_channel[c * m + r] = input.rows[r * k + c];
      }
      out.push_back(find_outliers(name, by_channel, input.width, static_cast<int64_t>(m), sigmas));
    }
    return out;
  }

 private:
  struct Input {
    int64_t width = 0;
    std::vector<float> rows;
  };

  void through(const Layer& layer, int index, std::vector<float>& x) {
    std::vector<float> kept;
    for (size_t s = 0; s < layer.plan.sites.size(); ++s) {
      kept = runner_.input(layer, s, x, kept);
      const SiteInput input(layer.plan, s, kept);
      const Site& site = layer.plan.sites[s];
      for (int e = 0; e < layer.plan.copies(site); ++e) {
        for (const ParamSpec& p : weights_of(table_, site, index, site.experts ? e : -1))
          keep(p.name, input.of(e), site.inputs);
      }
      runner_.add_output(layer, s, kept, x);
    }
  }

  void keep(const std::string& name, std::span<const float> rows, int64_t width) {
    Input& input = inputs_.try_emplace(name, Input{width, {}}).first->second;
    const int64_t held = std::ssize(input.rows), all = limit_ * width;
    const auto take = rows.first(static_cast<size_t>(std::min(all - held, std::ssize(rows))));
    input.rows.insert(input.rows.end(), take.begin(), take.end());
  }

  const DecoderConfig& config_;
  const std::vector<ParamSpec> table_;
  const int64_t limit_;
  const Exec& exec_;
  const LayerRunner runner_;
  std::vector<std::vector<float>> streams_;
  std::map<std::string, Input, std::less<>> inputs_;
};

}  // namespace

std::vector<OutlierStats> activation_outliers(const Model& model,
                                              const std::vector<std::vector<int32_t>>& sequences,
                                              int64_t rows, double sigmas, const Exec& exec) {
  Collector collector(model, rows, exec);
  collector.read(sequences);
  return collector.outliers(sigmas);
}

}  // namespace nibble
