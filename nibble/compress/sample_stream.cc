#include "nibble/compress/sample_stream.h"

#include <algorithm>

#include "nibble/core/stoppable.h"

namespace nibble {

int64_t longest(Samples samples) {
  int64_t most = 1;
  for (const auto& s : samples) most = std::max(most, std::ssize(s));
  return most;
}

int64_t tokens_of(Samples samples) {
  int64_t sum = 0;
  for (const auto& s : samples) sum += std::ssize(s);
  return sum;
}

void for_each_sample(Samples samples, const Exec& exec, const std::function<void(size_t)>& f) {
  parallel_for(std::ssize(samples), exec, [&f](int64_t s) { f(static_cast<size_t>(s)); });
}

SampleStream::SampleStream(const LayerRunner& runner, Samples samples,
                           const std::string& spill_folder, const Exec& exec)
    : runner_(runner),
      samples_(samples),
      exec_(exec),
      spill_folder_(spill_folder),
      x_(samples.size(), longest(samples) * runner.config().hidden_size, spill_folder),
      input_(samples.size(), longest(samples) * most_kept_floats(runner.config()), spill_folder) {}

SampleStream SampleStream::copy() {
  SampleStream out(runner_, samples_, {}, exec_);
  for (size_t s = 0; s < samples_.size(); ++s) {
    with_stream(s, [&](const std::vector<float>& x) { out.x_.put(s, x); });
    with_input(s, [&](const std::vector<float>& kept) { out.input_.put(s, kept); });
  }
  return out;
}

void SampleStream::embed() {
  for_each_sample(samples_, exec_, [this](size_t s) { x_.put(s, runner_.embed(samples_[s])); });
}

void SampleStream::read_input(const Layer& layer, size_t site) {
  for_each_sample(samples_, exec_, [&](size_t s) {
    with_stream(s, [&](const std::vector<float>& x) {
      input_.put(s,
                 runner_.input(layer, site, x, site > 0 ? input_.take(s) : std::vector<float>()));
    });
  });
}

void SampleStream::add_output(const Layer& layer, size_t site) {
  const SiteSteps steps = site_steps(layer.plan)[site];
  if (steps.end == steps.at) return;
  for_each_sample(samples_, exec_, [&](size_t s) {
    with_input(s, [&](const std::vector<float>& kept) {
      with_stream(s, [&](std::vector<float>& x) { runner_.add_output(layer, site, kept, x); });
    });
  });
}

void SampleStream::run(const Layer& layer) {
  for_each_sample(samples_, exec_, [&](size_t s) {
    with_stream(s, [&](std::vector<float>& x) { runner_.run(layer, x); });
  });
}

void SampleStream::mark() {
  if (!marked_)
    marked_.emplace(samples_.size(), longest(samples_) * runner_.config().hidden_size,
                    spill_folder_);
  for (size_t s = 0; s < samples_.size(); ++s)
    with_stream(s, [&](const std::vector<float>& x) { marked_->put(s, x); });
}

void SampleStream::rewind() {
  for (size_t s = 0; s < samples_.size(); ++s) x_.put(s, marked_->take(s));
}

void SampleStream::read_head() {
  for_each_sample(samples_, exec_, [this](size_t s) {
    with_stream(s, [&](std::vector<float> x) {
      runner_.final_norm(x);
      input_.put(s, std::move(x));
    });
  });
}

}  // namespace nibble
