// SampleStream: one version of a model on its way through the layers, for every calibration sample:
// the residual stream, and what is kept of it in front of the site at hand.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "nibble/compress/sample_rows.h"
#include "nibble/core/exec.h"
#include "nibble/model/layer_runner.h"

namespace nibble {

using Samples = std::span<const std::vector<int32_t>>;

/// Tokens of the longest; of all.
int64_t longest(Samples samples);
int64_t tokens_of(Samples samples);

/// f(sample) for every sample, spread over threads; then throws where a stop was asked for.
void for_each_sample(Samples samples, const Exec& exec, const std::function<void(size_t)>& f);

class SampleStream {
 public:
  /// Everything is referred to. `spill_folder`: where rows are kept if it is not empty.
  SampleStream(const LayerRunner& runner, Samples samples, const std::string& spill_folder,
               const Exec& exec);

  /// The same rows once more, in memory.
  SampleStream copy();

  /// The stream in front of the first layer.
  void embed();
  /// What `site` of the layer reads; the sites ahead of it have been read and added.
  void read_input(const Layer& layer, size_t site);
  /// The stream behind the site's products, where it comes next.
  void add_output(const Layer& layer, size_t site);
  /// The stream behind a whole layer.
  void run(const Layer& layer);
  /// What lm_head reads.
  void read_head();
  /// Remembers the stream as it stands; takes it back to there.
  void mark();
  void rewind();

  /// What is kept of one sample in front of the site; its residual stream. Different samples may
  /// be looked at by different threads.
  template <class F>
  void with_input(size_t sample, F f) {
    with(input_, sample, f);
  }
  template <class F>
  void with_stream(size_t sample, F f) {
    with(x_, sample, f);
  }

 private:
  template <class F>
  static void with(SampleRows& rows, size_t sample, F f) {
    std::vector<float> values = rows.take(sample);
    f(values);
    rows.put(sample, std::move(values));
  }

  const LayerRunner& runner_;
  const Samples samples_;
  const Exec& exec_;
  const std::string spill_folder_;
  SampleRows x_, input_;
  std::optional<SampleRows> marked_;
};

}  // namespace nibble
