#include "nibble/compress/input_walk.h"

#include <algorithm>

#include "nibble/compress/site_statistics.h"

namespace nibble {
namespace {

class InputWalk {
 public:
  InputWalk(const Model& model, const CalibrationText& text, const InputWalkOptions& options,
            const Exec& exec, const std::function<void(const GroupInput&)>& f)
      : config_(model.decoder_config()),
        table_(parameter_table(model.config)),
        text_(text),
        options_(options),
        exec_(exec),
        f_(f),
        runner_(config_, [&model](const ParamSpec& spec) { return load_weight(model, spec); }),
        stream_(runner_, text.samples, options.spill_folder, exec) {}

  void run() {
    stream_.embed();
    for (int i = 0; i < config_.layers; ++i) {
      const Layer layer = runner_.layer(i, {.threads = exec_.threads});
      for (size_t s = 0; s < layer.plan.sites.size(); ++s) {
        stream_.read_input(layer, s);
        site(layer, i, s);
        stream_.add_output(layer, s);
      }
      exec_.report({"calibrate", i + 1, config_.layers, {}});
    }
    if (!options_.head || config_.tied) return;
    stream_.read_head();
    Layer head;
    head.plan = head_plan(config_);
    site(head, -1, 0);
  }

 private:
  void site(const Layer& layer, int index, size_t s) {
    const Site& site = layer.plan.sites[s];
    if (options_.joint && site.in == BufferId::gathered) return joint(layer, index, s);
    for (int e = 0; e < layer.plan.copies(site); ++e) {
      GroupInput out;
      out.layer = index;
      out.title = site.title;
      out.reads = weights_of(table_, site, index, site.experts ? e : -1);
      hand_over(std::move(out), [&](const std::vector<float>& kept) {
        return SiteInput(layer.plan, s, kept).of(e);
      });
    }
  }

  // What all experts read, each row as often as it was sent to one.
  void joint(const Layer& layer, int index, size_t s) {
    const Site& site = layer.plan.sites[s];
    GroupInput out;
    out.layer = index;
    out.title = site.title;
    for (int e = 0; e < layer.plan.copies(site); ++e) {
      for (ParamSpec& p : weights_of(table_, site, index, e)) out.reads.push_back(std::move(p));
    }
    hand_over(std::move(out), [&](const std::vector<float>& kept) {
      const int64_t m = SiteInput(layer.plan, s, kept).rows() * layer.plan.experts->chosen;
      return std::span(kept).first(static_cast<size_t>(m * site.inputs));
    });
  }

  // rows_of(kept) are those that the group reads of a sample.
  template <class F>
  void hand_over(GroupInput out, F rows_of) {
    const int64_t k = out.reads.at(0).shape[1];
    StatisticsCollector collector(k, {options_.hessian, false, 0});
    const int64_t stride =
        options_.sample_rows == 0 ? 0 : std::max<int64_t>(1, text_.tokens() / options_.sample_rows);
    int64_t row = 0;
    for (size_t s = 0; s < text_.samples.size(); ++s) {
      stream_.with_input(s, [&](const std::vector<float>& kept) {
        const std::span<const float> rows = rows_of(kept);
        const int64_t m = std::ssize(rows) / k;
        if (m > 0) collector.add({rows, {}, {}}, m, exec_.threads);
        for (int64_t r = 0; r < m && stride > 0; ++r, ++row) {
          if (row % stride == 0)
            out.sample.insert(out.sample.end(), rows.begin() + r * k, rows.begin() + (r + 1) * k);
        }
      });
    }
    out.statistics = collector.finish(exec_.threads);
    f_(out);
  }

  const DecoderConfig& config_;
  const std::vector<ParamSpec> table_;
  const CalibrationText& text_;
  const InputWalkOptions& options_;
  const Exec& exec_;
  const std::function<void(const GroupInput&)>& f_;
  const LayerRunner runner_;
  SampleStream stream_;
};

}  // namespace

void walk_inputs(const Model& model, const CalibrationText& text, const InputWalkOptions& options,
                 const Exec& exec, const std::function<void(const GroupInput&)>& f) {
  InputWalk(model, text, options, exec, f).run();
}

}  // namespace nibble
