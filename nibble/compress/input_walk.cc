#include "nibble/compress/input_walk.h"

#include <algorithm>

#include "nibble/compress/block_steps.h"
#include "nibble/compress/sample_rows.h"
#include "nibble/core/parallel.h"
#include "nibble/model/block_walk.h"

namespace nibble {
namespace {

class InputWalk {
 public:
  InputWalk(const ModelFolder& model, const CalibrationText& text, const InputWalkOptions& options,
            const Exec& exec, const std::function<void(const GroupInput&)>& f)
      : config_(model.decoder_config()),
        table_(parameter_table(model.config)),
        text_(text),
        options_(options),
        exec_(exec),
        f_(f),
        walk_(config_, [&model](const ParamSpec& spec) { return load_weight(model, spec); }),
        steps_(config_),
        x_(rows(config_.hidden_size)),
        input_(rows(std::max(
            {config_.hidden_size, config_.intermediate_size, config_.heads * config_.head_dim}))) {}

  void run() {
    for_each_sample([this](size_t s) { x_.put(s, walk_.embed(text_.samples[s])); });
    for (int layer = 0; layer < config_.layers; ++layer) {
      const Block block = walk_.block(layer, {.threads = exec_.threads});
      for (const Stage stage : kStages) this->stage(block, layer, stage);
      exec_.report({"calibrate", layer + 1, config_.layers, {}});
    }
    if (!options_.head || config_.tied) return;
    for_each_sample([this](size_t s) {
      std::vector<float> x = x_.take(s);
      if (config_.final_norm) walk_.final_norm(x);
      input_.put(s, std::move(x));
    });
    hand_over(-1, {Role::lm_head});
  }

 private:
  void stage(const Block& block, int layer, Stage stage) {
    for_each_sample([&](size_t s) {
      std::vector<float> x = x_.take(s);
      const bool goes_on = stage == Stage::o || stage == Stage::down;
      const std::vector<float> before = goes_on ? input_.take(s) : std::vector<float>();
      input_.put(s, steps_.input(block, stage, x, before));
      x_.put(s, std::move(x));
    });
    hand_over(layer, roles_of(config_, stage));
    if (stage == Stage::qkv || stage == Stage::up) return;
    for_each_sample([&](size_t s) {
      std::vector<float> x = x_.take(s);
      steps_.add_output(block, stage, input_.take(s), x);
      x_.put(s, std::move(x));
    });
  }

  void hand_over(int layer, const std::vector<Role>& roles) {
    GroupInput out;
    out.layer = layer;
    for (const Role role : roles) {
      for (const ParamSpec& p : table_) {
        if (p.role == role && p.layer == layer && !p.bias) out.reads.push_back(p);
      }
    }
    const int64_t k = out.reads.at(0).shape[1];
    StatisticsCollector collector(k, {options_.hessian, false, 0});
    const int64_t stride =
        options_.sample_rows == 0 ? 0 : std::max<int64_t>(1, text_.tokens() / options_.sample_rows);
    int64_t row = 0;
    for (size_t s = 0; s < text_.samples.size(); ++s) {
      std::vector<float> rows = input_.take(s);
      const int64_t m = static_cast<int64_t>(rows.size()) / k;
      collector.add({rows, {}, {}}, m, exec_.threads);
      for (int64_t r = 0; r < m && stride > 0; ++r, ++row) {
        if (row % stride == 0)
          out.sample.insert(out.sample.end(), rows.begin() + r * k, rows.begin() + (r + 1) * k);
      }
      input_.put(s, std::move(rows));
    }
    out.statistics = collector.finish(exec_.threads);
    f_(out);
  }

  // Room for rows of `width` floats.
  SampleRows rows(int64_t width) const {
    size_t longest = 0;
    for (const auto& s : text_.samples) longest = std::max(longest, s.size());
    return {text_.samples.size(), static_cast<int64_t>(longest) * width, options_.spill_folder};
  }

  // f(sample) for every sample, spread over threads.
  void for_each_sample(const std::function<void(size_t)>& f) {
    parallel_for(static_cast<int64_t>(text_.samples.size()), exec_.threads,
                 [&f](int64_t s) { f(static_cast<size_t>(s)); });
    exec_.check_stop();
  }

  const DecoderConfig& config_;
  const std::vector<ParamSpec> table_;
  const CalibrationText& text_;
  const InputWalkOptions& options_;
  const Exec& exec_;
  const std::function<void(const GroupInput&)>& f_;
  const BlockWalk walk_;
  const BlockSteps steps_;
  SampleRows x_, input_;
};

}  // namespace

void walk_inputs(const ModelFolder& model, const CalibrationText& text,
                 const InputWalkOptions& options, const Exec& exec,
                 const std::function<void(const GroupInput&)>& f) {
  InputWalk(model, text, options, exec, f).run();
}

}  // namespace nibble
